// @ts-check
// Runs a program to its end and measures it from outside.
import { spawn } from "node:child_process";

/**
 * Seconds from its start to its end; and what a Node program says of itself through usage.mjs.
 * @typedef {object} Measured
 * @property {number} wall
 * @property {number} [user]
 * @property {number} [system]
 * @property {number} [rss] peak, MiB
 */

/** @param {string} program @param {string[]} args @returns {Promise<Measured>} */
export function measure(program, args) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit", "pipe"] });
    let said = "";
    child.stdio[3]?.on("data", (text) => (said += text));
    child.on("error", reject);
    child.on("close", (code) => {
      const wall = (performance.now() - started) / 1000;
      if (code !== 0) reject(new Error(`${program} ${args.join(" ")} ended with ${code}`));
      else resolve({ wall, ...(said && JSON.parse(said)) });
    });
  });
}

/** A Node program. @param {string[]} args */
export const measureNode = (args) => measure(process.execPath, ["--import", new URL("usage.mjs", import.meta.url).href, ...args]);
