// @ts-check
// The kernel natively: criterion measures, this reads what it wrote.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../tests/setup/run.mjs";

/** @typedef {import("./table.mjs").Row} Row */

/** Elements a second by the benchmark's name ("fold Bf16/16"). @param {string} folder */
function rates(folder) {
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!/[\\/]new[\\/]benchmark\.json$/.test(name)) continue;
    const { full_id: id, throughput } = JSON.parse(readFileSync(join(folder, name), "utf8"));
    const { median } = JSON.parse(readFileSync(join(folder, name, "..", "estimates.json"), "utf8"));
    if (throughput?.Elements) found.set(id, throughput.Elements / (median.point_estimate / 1e9));
  }
  return found;
}

/**
 * @param {{ toy: boolean, wasmRates: Map<string, number> }} options the rates of the wasm kernel, by "bf16/16"
 * @returns {Promise<Row[]>}
 */
export async function nativeRows({ toy, wasmRates }) {
  const folder = mkdtempSync(join(tmpdir(), "lorafold-criterion-"));
  try {
    const short = toy ? ["--warm-up-time", "0.1", "--measurement-time", "0.1"] : [];
    const args = ["bench", "--features", "bench", "--bench", "kernel", "--", "--noplot", ...short];
    const { ok } = await run("cargo", args, { label: "native", env: { CRITERION_HOME: folder } });
    if (!ok) throw new Error("cargo bench failed");
    const found = rates(folder);
    const peak = [...found].find(([id]) => id.startsWith("peak/"))?.[1];
    /** @type {Row[]} */
    const rows = [];
    if (peak) rows.push({ part: "native", what: "peak of multiply + add", figure: peak / 1e9, unit: "GFLOP/s" });
    for (const [id, rate] of [...found].sort(byTypeAndRank)) {
      const [, type, rank] = /^fold (\w+)\/(.+)$/.exec(id) ?? [];
      if (!type) continue;
      const wasm = wasmRates.get(`${type.toLowerCase()}/${rank}`);
      const ratio = wasm && rate / wasm;
      const judged = type === "Bf16" && rank === "64";
      rows.push({
        part: "native", what: `${type.toLowerCase()}, r=${rank}`, figure: rate / 1e9, unit: "Gelem/s", ...(ratio && { ratio, of: "wasm" }),
        ...(judged && { target: "≥ 1.6× wasm", ...(ratio && !toy && { holds: ratio >= 1.6 }) }),
      });
    }
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {[string, number]} a @param {[string, number]} b */
function byTypeAndRank([a], [b]) {
  const [typeA, rankA] = a.split("/");
  const [typeB, rankB] = b.split("/");
  return typeA.localeCompare(typeB) || parseInt(rankA) - parseInt(rankB) || rankA.length - rankB.length;
}
