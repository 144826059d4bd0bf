// @ts-check
// Programs that run while something else is measured: started, asked for their time and memory, and ended.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** Start a program and wait for the first line that it prints. @param {string[]} args of Node @param {RegExp} [line] what to take of it */
export async function running(args, line = /\S+/) {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const said = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part) => {
      text += part;
      const found = line.exec(text)?.[0];
      if (found && text.includes("\n")) resolve(found);
    });
    child.once("error", reject).once("close", (code) => reject(new Error(`${args[0]} ended with ${code}`)));
  });
  return { pid: /** @type {number} */ (child.pid), said: String(said), stop: () => new Promise((resolve) => child.once("close", resolve) && child.kill("SIGINT")) };
}

/** The processes below a process that have a name, as Linux knows them. @param {number} parent @param {string} name @returns {number[]} */
export function below(parent, name) {
  const found = [];
  for (const entry of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const [, command, , ppid] = /^\d+ \((.*)\) (\S) (\d+)/.exec(readFileSync(`/proc/${entry}/stat`, "utf8")) ?? [];
      if (Number(ppid) === parent && command === name) found.push(Number(entry));
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** Seconds of processor time that a process has used, and its memory in MiB. @param {number} pid */
export function usageOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^\d+ \(.*\) /, "").split(" ");
  const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  // Ticks are hundredths of a second on every Linux.
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, rss: Number(rss) / 1024 };
}
