// @ts-check
// The command line, run as users run it.
import { spawn } from "node:child_process";
import { mock } from "node:test";
import { fileURLToPath } from "node:url";
import { mergeCommand } from "../../pkg/cli/merge.js";

export const CLI = fileURLToPath(new URL("../../pkg/cli.js", import.meta.url));

/** @typedef {{ code: number | null, signal: string | null, stdout: string, stderr: string }} Ended */

/** Start `lorafold …args`. @param {string[]} args @param {import("node:child_process").SpawnOptions} [options] */
export function start(args, options = {}) {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "pipe"], ...options });
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text) => (stderr += text));
  /** @type {Promise<Ended>} */
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject).once("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, ended };
}

/** Run `lorafold …args` to its end. @param {string[]} args @param {import("node:child_process").SpawnOptions} [options] */
export const lorafold = (args, options) => start(args, options).ended;

/** @type {unknown} */
let muted;

/**
 * Run `lorafold merge …args` in this process, where each of many would start one of its own: all of the command but what a process does at its beginning
 * and its end, which other tests see to. What it prints is nobody's from now on, and what goes wrong is thrown.
 * @param {string[]} args with the word `merge`
 */
export function mergeHere([, ...args]) {
  muted ??= mock.method(console, "log", () => {});
  return mergeCommand([...args, "--quiet"]);
}
