// @ts-check
// Loaded before a program that is measured: when it ends it says on descriptor 3 what the process has used.
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import { peakKilobytes } from "../tests/js/peak-kilobytes.mjs";

// Workers load it too, and `resourceUsage` is the whole process's.
if (isMainThread) {
  process.on("exit", () => {
    const { userCPUTime, systemCPUTime } = process.resourceUsage();
    writeSync(3, JSON.stringify({ rss: peakKilobytes() / 1024, user: userCPUTime / 1e6, system: systemCPUTime / 1e6 }));
  });
}
