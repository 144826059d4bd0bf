// @ts-check
// Imported into a process before its program: when it ends it says how much memory it has taken at most.
import { isMainThread } from "node:worker_threads";
import { peakKilobytes } from "./peak-kilobytes.mjs";

if (isMainThread) process.on("exit", () => process.stderr.write(`peak ${peakKilobytes()}\n`));
