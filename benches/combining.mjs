// @ts-check
// Methods that merge several adapters, against the weighted sum of the same: in Node with the command line, from files to files.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { measureNode } from "./child.mjs";
import { adapter, baseModel, LLAMA_1B, TOY, workFolder } from "./model.mjs";
import { packageFolder } from "./package.mjs";
import { inTurn } from "./timing.mjs";

/** @typedef {import("./table.mjs").Row} Row */

/** What each row is asked for, and how long it may take. @type {Record<string, { flags: string[], method?: string, most?: number }>} */
const METHODS = {
  linear: { flags: [] },
  ties: { flags: ["--density", "0.2"], most: 2.2 },
  dare_linear: { flags: ["--density", "0.5"], most: 2 },
  dare_ties: { flags: ["--density", "0.5"] },
  model_stock: { flags: [] },
  "stochastic rounding": { method: "linear", flags: ["--rounding", "stochastic"], most: 2 },
};

/** @param {{ toy: boolean, rounds?: number, say: (text: string) => void }} options @returns {Promise<Row[]>} */
export async function combiningRows({ toy, rounds = toy ? 1 : 5, say }) {
  const shape = toy ? TOY : LLAMA_1B;
  const base = baseModel(shape);
  const adapters = [16, 16].map((rank, number) => adapter(shape, rank, { seed: 100 + 2 * number }));
  const out = join(workFolder, "out-combining");
  /** @param {string} method @param {string[]} flags */
  const run = (method, flags) => async () => {
    rmSync(out, { recursive: true, force: true });
    const args = ["merge", "--quiet", "--base", base, "--out", out, "--workers", "2", "--method", method, ...flags];
    for (const folder of adapters) args.push("--adapter", folder);
    const { wall, user = 0, system = 0, rss = 0 } = await measureNode([join(packageFolder, "cli.js"), ...args]);
    rmSync(out, { recursive: true, force: true });
    return { wall, user, system, rss };
  };
  const runs = Object.fromEntries(Object.entries(METHODS).map(([row, { method = row, flags }]) => [row, run(method, flags)]));
  const seen = await inTurn(runs, rounds, { warm: !toy, say });
  const { linear } = seen;
  return Object.entries(METHODS).flatMap(([method, { most }]) => {
    const { wall, user, system, rss } = seen[method];
    const [ratio, work] = [wall / linear.wall, (user + system) / (linear.user + linear.system)];
    const part = "combining";
    const judged = most !== undefined && { target: `≤ ${most}× linear`, ...(!toy && { holds: ratio <= most }) };
    return [
      { part, what: `2 adapters of r=16, ${method}`, figure: wall, unit: "s", ...(method !== "linear" && { ratio, of: "linear" }), ...judged },
      { part, what: `${method}: user + system`, figure: user + system, unit: "s", ...(method !== "linear" && { ratio: work, of: "linear" }) },
      { part, what: `${method}: peak RSS`, figure: rss, unit: "MiB", ...(method !== "linear" && { ratio: rss / linear.rss, of: "linear" }) },
    ];
  });
}
