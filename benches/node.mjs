// @ts-check
// Files to files in Node with the command line, against `cp` of the same files in the same minutes on the same disk.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { measure, measureNode } from "./child.mjs";
import { buildKernel } from "./kernel-module.mjs";
import { adapter, baseBytes, baseModel, freeBytes, GPT2_WIDE, LLAMA_1B, mergedBytes, TOY, withLayers, workFolder } from "./model.mjs";
import { packageFolder } from "./package.mjs";
import { inTurn } from "./timing.mjs";

/** @typedef {import("./table.mjs").Row} Row */
/** @typedef {import("./model.mjs").Shape} Shape */

const out = join(workFolder, "out");

/** @param {() => Promise<import("./child.mjs").Measured>} run */
const intoEmpty = (run) => async () => {
  rmSync(out, { recursive: true, force: true });
  const { wall, user = 0, system = 0, rss = 0 } = await run();
  rmSync(out, { recursive: true, force: true });
  return { wall, user, system, rss };
};

/** @param {string} base */
const copy = (base) => intoEmpty(() => measure("cp", ["-r", base, out]));

/** @param {string} base @param {string[]} adapters @param {{ workers?: number, statistics?: boolean }} [options] */
function merge(base, adapters, { workers = 2, statistics = false } = {}) {
  const report = statistics ? ["--report", join(workFolder, "report.json")] : [];
  const args = ["merge", "--quiet", "--base", base, "--out", out, "--workers", String(workers), ...report];
  for (const folder of adapters) args.push("--adapter", folder);
  return intoEmpty(() => measureNode([join(packageFolder, "cli.js"), ...args]));
}

/** The least that the merge of a model of this shape could take (floor.mjs), without the start of Node. @param {Shape} shape @param {string} base @param {number} rank */
function floor(shape, base, rank) {
  const kernel = buildKernel();
  const share = mergedBytes(shape) / baseBytes(shape);
  return intoEmpty(() => measure(process.execPath, [fileURLToPath(new URL("floor.mjs", import.meta.url)), kernel, base, out, String(rank), String(shape.hidden), String(share), "2"]));
}

/** @param {{ toy: boolean, rounds?: number, say: (text: string) => void }} options @returns {Promise<Row[]>} */
export async function nodeRows({ toy, rounds = toy ? 1 : 5, say }) {
  const shape = toy ? TOY : LLAMA_1B;
  say("making the models");
  const base = baseModel(shape);
  const [r16, r64] = [adapter(shape, 16), adapter(shape, 64)];
  const sixteen = Array.from({ length: 16 }, (_, number) => adapter(shape, 4, { seed: 100 + 2 * number }));
  const runs = {
    cp: copy(base),
    // Not at toy size: it would compile the crate once more.
    "r=16, floor": toy ? async () => ({ wall: 0, user: 0, system: 0, rss: 0 }) : floor(shape, base, 16),
    "r=16": merge(base, [r16]),
    "r=64": merge(base, [r64]),
    "r=16 with statistics": merge(base, [r16], { statistics: true }),
    "r=16, 1 worker": merge(base, [r16], { workers: 1 }),
    "r=64, 1 worker": merge(base, [r64], { workers: 1 }),
    "16 adapters of r=4": merge(base, sixteen),
    "r=16, DoRA": merge(base, [adapter(shape, 16, { dora: true })]),
  };
  const seen = await inTurn(runs, rounds, { warm: !toy, say });
  /** @type {(holds: boolean) => { holds?: boolean }} */
  const judge = (holds) => (toy ? {} : { holds });
  const part = "node";
  const gigabytes = `${(baseBytes(shape) / 1e9).toPrecision(2)} GB`;
  const cp = seen.cp.wall;
  /** @param {keyof typeof runs} name @param {Partial<Row>} about @returns {Row} */
  const wall = (name, about) => ({ part, what: `${gigabytes}, ${name}`, figure: seen[name].wall, unit: "s", ratio: seen[name].wall / cp, of: "cp", ...about });
  const plain = seen["r=16"];
  const workers = { 16: seen["r=16, 1 worker"].wall / plain.wall, 64: seen["r=64, 1 worker"].wall / seen["r=64"].wall };
  const many = seen["16 adapters of r=4"].wall / seen["r=64"].wall;
  const statistics = seen["r=16 with statistics"].wall / plain.wall;
  return [
    { part, what: `${gigabytes}, cp -r`, figure: cp, unit: "s" },
    wall("r=16", { target: "≤ 3 s, ≤ 2.5× cp", ...judge(plain.wall <= 3 && plain.wall <= 2.5 * cp) }),
    ...processorRows(plain, toy ? undefined : seen["r=16, floor"]),
    { part, what: "r=16: peak RSS", figure: plain.rss, unit: "MiB", target: "≤ 350 MB", ...judge(plain.rss * 1.048576 <= 350) },
    wall("r=64", { target: "≤ 6 s", ...judge(seen["r=64"].wall <= 6) }),
    { part, what: "r=64: user + system", figure: seen["r=64"].user + seen["r=64"].system, unit: "s" },
    { part, what: "r=64: peak RSS", figure: seen["r=64"].rss, unit: "MiB" },
    wall("r=16 with statistics", { ratio: statistics, of: "without", target: "off by default" }),
    wall("r=16, 1 worker", { ratio: workers[16], of: "2 workers", target: "≥ 1.7×", ...judge(workers[16] >= 1.7) }),
    wall("r=64, 1 worker", { ratio: workers[64], of: "2 workers", target: "≥ 1.7×", ...judge(workers[64] >= 1.7) }),
    wall("16 adapters of r=4", { ratio: many, of: "1 of r=64", target: "≤ 1.15×", ...judge(many <= 1.15) }),
    wall("r=16, DoRA", { ratio: seen["r=16, DoRA"].wall / plain.wall, of: "r=16", ...judge(seen["r=16, DoRA"].wall <= 1.5 * plain.wall), target: "≤ 1.5×" }),
    ...(await conv1dRows(toy, Math.min(rounds, 3), say)),
    ...(await scalingRows(toy, Math.min(rounds, 3), say)),
  ];
}

/** @param {{ user: number, system: number }} merge @param {{ user: number, system: number } | undefined} floor @returns {Row[]} */
function processorRows(merge, floor) {
  const part = "node";
  const what = "r=16: user + system";
  const figure = merge.user + merge.system;
  if (!floor) return [{ part, what, figure, unit: "s" }];
  const least = floor.user + floor.system;
  return [
    { part, what: "r=16: kernel, one copy in, one out: user + system", figure: least, unit: "s" },
    { part, what, figure, unit: "s", ratio: figure / least, of: "that", target: "≤ 1.15×", holds: figure <= 1.15 * least },
  ];
}

/** Where outputs are columns, DoRA reads every weight twice.
 * @param {boolean} toy @param {number} rounds @param {(text: string) => void} say @returns {Promise<Row[]>} */
async function conv1dRows(toy, rounds, say) {
  const shape = toy ? { ...TOY, conv1d: true } : GPT2_WIDE;
  const base = baseModel(shape);
  const plain = merge(base, [adapter(shape, 16)]);
  const seen = await inTurn({ plain, dora: merge(base, [adapter(shape, 16, { dora: true })]) }, rounds, { warm: !toy, say });
  const what = `${(baseBytes(shape) / 1e9).toPrecision(2)} GB of Conv1D, r=16`;
  const ratio = seen.dora.wall / seen.plain.wall;
  return [
    { part: "node", what, figure: seen.plain.wall, unit: "s" },
    { part: "node", what: `${what}, DoRA`, figure: seen.dora.wall, unit: "s", ratio, of: "r=16", target: "≤ 1.5×", ...(!toy && { holds: ratio <= 1.5 }) },
  ];
}

/** The same layers, more of them: seconds for a gigabyte and memory should not change.
 * @param {boolean} toy @param {number} rounds @param {(text: string) => void} say @returns {Promise<Row[]>} */
async function scalingRows(toy, rounds, say) {
  const shapes = (toy ? [1, 4] : [3, 10, 42]).map((layers) => withLayers(toy ? TOY : LLAMA_1B, layers));
  /** @type {Row[]} */
  const rows = [];
  /** @type {{ perByte: number, rss: number }[]} */
  const points = [];
  for (const shape of shapes) {
    const bytes = baseBytes(shape);
    const name = `${(bytes / 1e9).toPrecision(2)} GB`;
    if (freeBytes() < 3 * bytes) {
      say(`scaling: no room for ${name}`);
      continue;
    }
    const base = baseModel(shape);
    const seen = await inTurn({ cp: copy(base), [name]: merge(base, [adapter(shape, 16)]) }, rounds, { warm: !toy, say });
    const { wall, rss } = seen[name];
    points.push({ perByte: wall / bytes, rss });
    const growth = { time: points[points.length - 1].perByte / points[0].perByte, memory: rss / points[0].rss };
    const judged = !toy && points.length > 1;
    const [part, what] = ["node", `scaling: ${name}, r=16`];
    rows.push(
      { part, what: `${what}, cp -r`, figure: (seen.cp.wall / bytes) * 1e9, unit: "s/GB" },
      { part, what, figure: (wall / bytes) * 1e9, unit: "s/GB", ratio: growth.time, of: "smallest", target: "≤ 1.15×", ...(judged && { holds: growth.time <= 1.15 }) },
      { part, what: `${what}, peak RSS`, figure: rss, unit: "MiB", ratio: growth.memory, of: "smallest", target: "≤ 1.1×", ...(judged && { holds: growth.memory <= 1.1 }) },
    );
  }
  return rows;
}
