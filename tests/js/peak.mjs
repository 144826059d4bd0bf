// @ts-check
// Imported into a process before its program: when it ends it says how much memory it has taken at most, all threads together.
import { existsSync, readFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

// Not resourceUsage() where there is better: its maximum begins with that of the process which started this one.
const STATUS = "/proc/self/status";

if (isMainThread) {
  process.on("exit", () => {
    const [, kilobytes] = existsSync(STATUS) ? (/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(STATUS, "utf8")) ?? []) : [];
    process.stderr.write(`peak ${kilobytes ?? process.resourceUsage().maxRSS}\n`);
  });
}
