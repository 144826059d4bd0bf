// @ts-check
import { existsSync, readFileSync } from "node:fs";

// Not resourceUsage() where there is better: its maximum begins with that of the process which started this one.
const STATUS = "/proc/self/status";

/** The most memory that this process has taken so far, all threads together. */
export function peakKilobytes() {
  const [, kilobytes] = existsSync(STATUS) ? (/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(STATUS, "utf8")) ?? []) : [];
  return kilobytes === undefined ? process.resourceUsage().maxRSS : Number(kilobytes);
}
