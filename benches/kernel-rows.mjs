// @ts-check
// The wasm kernel's own benchmark, run and put into the table's words.
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "../tests/setup/run.mjs";
import { workFolder } from "./model.mjs";

/** @typedef {import("./table.mjs").Row} Row */

/** Gelem/s that are promised of bf16 on the machine the project names. @type {Record<number, number>} */
const PROMISED = { 8: 0.95, 16: 0.75, 64: 0.32, 128: 0.17 };
const ROOFLINE = 0.7;

/** @param {{ toy: boolean }} options @returns {Promise<{ rows: Row[], rates: Map<string, number> }>} */
export async function kernelRows({ toy }) {
  const file = join(workFolder, "kernel.json");
  const sizes = toy ? ["--rows", "128", "--cols", "256", "--seconds", "0.01"] : [];
  const { ok } = await run(process.execPath, ["benches/kernel.mjs", ...sizes, "--json", file], { label: "kernel" });
  if (!ok) throw new Error("kernel.mjs failed");
  const { peak, results, conversions } = JSON.parse(readFileSync(file, "utf8"));
  rmSync(file);
  const part = "kernel";
  /** @type {Row[]} */
  const rows = [{ part, what: "peak of multiply + add", figure: peak / 1e9, unit: "GFLOP/s" }];
  const rates = new Map();
  for (const { float, rank, rate, ofRoofline, statistics } of results) {
    rates.set(`${float}/${rank}`, rate);
    const promised = float === "bf16" ? PROMISED[rank] : undefined;
    // The ratio is what another machine can be held to as well; the rate depends on who else is at work on this one.
    const target = promised === undefined ? {} : { target: `≥ 70 % (≥ ${promised} on Zen 3)` };
    const holds = promised === undefined || toy ? {} : { holds: ofRoofline >= ROOFLINE };
    rows.push({ part, what: `${float}, r=${rank}`, figure: rate / 1e9, unit: "Gelem/s", ratio: ofRoofline, of: "of roofline", ...target, ...holds });
    if (float === "bf16" && rank === 16) {
      rows.push({ part, what: "bf16, r=16, statistics", figure: 100 * statistics, unit: "% more", target: "off by default" });
    }
  }
  for (const { from, to, rate, ofInPlace } of conversions) {
    rows.push({ part, what: `${from} to ${to}`, figure: rate / 1e9, unit: "Gelem/s", ratio: ofInPlace, of: "of the cast in place" });
  }
  return { rows, rates };
}
