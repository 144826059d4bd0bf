// @ts-check
// An adapter of two models, against the merge that made the second of them, in Node with the command line.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { measureNode } from "./child.mjs";
import { adapter, baseBytes, baseModel, LLAMA_1B, TOY, withLayers, workFolder } from "./model.mjs";
import { packageFolder } from "./package.mjs";
import { inTurn } from "./timing.mjs";

/** @typedef {import("./table.mjs").Row} Row */

/** @param {{ toy: boolean, rounds?: number, layers?: number, say: (text: string) => void }} options fewer `layers` for a first look @returns {Promise<Row[]>} */
export async function extractRows({ toy, rounds = toy ? 1 : 3, layers, say }) {
  const shape = toy ? TOY : layers === undefined ? LLAMA_1B : withLayers(LLAMA_1B, layers);
  const [base, r16] = [baseModel(shape), adapter(shape, 16)];
  const [tuned, out] = [join(workFolder, "tuned"), join(workFolder, "out")];
  /** @param {string[]} words @param {string} folder */
  const run = (words, folder) => async () => {
    rmSync(folder, { recursive: true, force: true });
    const { wall, user = 0, system = 0, rss = 0 } = await measureNode([join(packageFolder, "cli.js"), ...words, "--quiet", "--workers", "2", "--out", folder]);
    return { wall, processor: user + system, rss };
  };
  const merge = run(["merge", "--base", base, "--adapter", r16], tuned);
  if (!existsSync(tuned)) await merge();
  const extract = run(["extract", "--base", base, "--tuned", tuned, "--rank", "16", "--skip", "embed_tokens|lm_head"], out);
  // After the merge, whose output it reads.
  const seen = await inTurn({ merge, extract }, rounds, { warm: !toy, say });
  for (const folder of [tuned, out]) rmSync(folder, { recursive: true, force: true });
  const [part, ratio] = ["extract", seen.extract.wall / seen.merge.wall];
  const gigabytes = `${(baseBytes(shape) / 1e9).toPrecision(2)} GB`;
  return [
    { part, what: `${gigabytes}, merge r=16`, figure: seen.merge.wall, unit: "s" },
    { part, what: `${gigabytes}, extract r=16`, figure: seen.extract.wall, unit: "s", ratio, of: "merge", target: "≤ 10×", ...(toy ? {} : { holds: ratio <= 10 }) },
    { part, what: "extract r=16: user + system", figure: seen.extract.processor, unit: "s" },
    { part, what: "extract r=16: peak RSS", figure: seen.extract.rss, unit: "MiB" },
  ];
}
