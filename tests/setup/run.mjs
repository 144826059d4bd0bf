// @ts-check
// Starts one program, shows what it prints as it prints it, and keeps it for whoever counts.
import { spawn } from "node:child_process";
import { root } from "./tools.mjs";

/**
 * @typedef {object} RunOptions
 * @property {Record<string, string>} [env] set besides the environment of this process
 * @property {string} [cwd] where it runs, if not in the checkout's top folder
 * @property {(text: string) => void} [show] where what it prints goes, if not to this process's output
 * @property {string} [label] goes before every line, for programs that run side by side
 */

/**
 * @param {string} program
 * @param {string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
export function run(program, args, { env = {}, cwd = root, label, show = (text) => process.stdout.write(text) } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      // No terminal to ask questions on: what would ask must fail instead of waiting for ever.
      stdio: ["ignore", "pipe", "pipe"],
    });
    /** @type {string[]} */
    const kept = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      let rest = "";
      stream.on("data", (/** @type {string} */ text) => {
        kept.push(text);
        if (!label) return void show(text);
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) console.log(`[${label}] ${line}`);
      });
      stream.on("end", () => {
        if (label && rest) console.log(`[${label}] ${rest}`);
      });
    }
    child.on("error", (error) => reject(new Error(`could not start ${program}: ${error.message}`)));
    child.on("close", (code) => resolve({ ok: code === 0, output: kept.join("") }));
  });
}
