// @ts-check
// Fair comparisons: what is compared runs in turn, round after round, and the medians count.
//   LORAFOLD_BENCH_PATIENCE   seconds to wait before each run for other programs to come to rest
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Share of all processors' time that is used, by anybody, in the next moments. */
async function busy() {
  const times = () => cpus().map(({ times }) => ({ idle: times.idle, all: Object.values(times).reduce((a, b) => a + b) }));
  const before = times();
  await new Promise((go) => setTimeout(go, 400));
  const after = times();
  const sum = (/** @type {"idle" | "all"} */ kind) => after.reduce((total, now, index) => total + now[kind] - before[index][kind], 0);
  return 1 - sum("idle") / Math.max(1, sum("all"));
}

/**
 * Let the disk finish what earlier runs gave it, else the next run pays for it; and wait a while for others to finish,
 * who would take a part of one run and not of the other.
 * @param {number} patience seconds
 */
async function settle(patience) {
  if (process.platform !== "win32") execFileSync("sync");
  const end = performance.now() + patience * 1000;
  while (performance.now() < end && (await busy()) > 0.15);
}

/**
 * Run everything once unmeasured (caches fill, files are read once), then in turn, `count` rounds. Runs give numbers of any
 * names; the result has their medians.
 * @template {string} Name
 * @template {string} Measure
 * @param {Record<Name, () => Promise<Record<Measure, number>>>} runs
 * @param {number} count
 * @param {{ warm?: boolean, say?: (text: string) => void }} [options] without `warm` nothing is waited for either
 * @returns {Promise<Record<Name, Record<Measure, number>>>}
 */
export async function inTurn(runs, count, { warm = true, say = () => {} } = {}) {
  const patience = warm ? Number(process.env.LORAFOLD_BENCH_PATIENCE ?? 20) : 0;
  const names = /** @type {Name[]} */ (Object.keys(runs));
  /** @type {Record<string, Record<string, number>[]>} */
  const seen = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = warm ? -1 : 0; round < count; round++) {
    for (const name of names) {
      await settle(round < 0 ? 0 : patience);
      const result = await runs[name]();
      const figures = Object.entries(result).map(([what, value]) => `${what} ${Number(value).toPrecision(4)}`).join(", ");
      say(`${round < 0 ? "warm-up" : `round ${round + 1}/${count}`}: ${name}: ${figures}`);
      if (round >= 0) seen[name].push(result);
    }
  }
  const medians = names.map((name) => {
    const measures = Object.keys(seen[name][0]);
    return [name, Object.fromEntries(measures.map((measure) => [measure, median(seen[name].map((one) => one[measure]))]))];
  });
  return Object.fromEntries(medians);
}
