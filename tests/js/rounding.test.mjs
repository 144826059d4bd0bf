// @ts-check
// Stochastic rounding in WebAssembly: the bytes that a second implementation gives, as natively, however they are asked for.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { merge, openMerged, plan } from "../../pkg/node.js";
import { lorafold } from "./command.mjs";
import { adapterOptions, FIXTURES, fixture, mergeArguments } from "./fixture.mjs";
import { readModel } from "./safetensors-file.mjs";
import { scratch, sha256, snapshot } from "./scratch.mjs";

/** @typedef {{ case: string, dtype: string, seed: number, tensor: string, sha256: string }} Row */

/** @type {Row[]} */
const ROWS = JSON.parse(readFileSync(join(FIXTURES, "rounding.json"), "utf8")).merges;
const DTYPES = /** @type {const} */ ({ keep: "keep", BF16: "bfloat16", F16: "float16", F32: "float32" });

/** The rows of each merge. @type {Map<string, Row[]>} */
const MERGES = new Map();
for (const row of ROWS) {
  const name = `${row.case} to ${row.dtype} with seed ${row.seed}`;
  MERGES.set(name, [...(MERGES.get(name) ?? []), row]);
}

describe("stochastic rounding", { concurrency: 2 }, () => {
  assert.ok(MERGES.size >= 9);
  for (const [name, rows] of MERGES) {
    test(name, async (t) => {
      const [{ case: made, dtype, seed }] = /** @type {[Row]} */ (rows);
      const options = { base: fixture(made).base, adapters: adapterOptions(fixture(made)), dtype: DTYPES[/** @type {"keep"} */ (dtype)], rounding: /** @type {const} */ ("stochastic"), seed };
      const output = join(await scratch(t), "out");
      const { report } = await merge({ ...options, output, workers: 2, memoryBudget: 16 << 20 });
      assert.deepEqual([report.recipe.rounding, report.recipe.seed], ["stochastic", seed]);
      const merged = readModel(output);
      for (const { tensor, sha256: expected } of rows) {
        const found = merged.get(tensor);
        assert.ok(found);
        assert.equal(sha256(found.bytes), expected, tensor);
      }
      // Any range of a model that was never written.
      const whole = readFileSync(join(output, "model.safetensors"));
      const model = await openMerged(options);
      try {
        for (let start = 1; start < whole.length; start = start * 3 + 1) {
          const end = Math.min(whole.length, start + 777);
          assert.ok(whole.subarray(start, end).equals(await model.read("model.safetensors", start, end)), `${start}..${end}`);
        }
      } finally {
        model.close();
      }
    });
  }

  test("the command line gives the same, with 0 as the seed by default", async (t) => {
    const made = fixture("dtype-bf16");
    const folder = await scratch(t);
    const outputs = ["out", "out-0", "out-1"].map((name) => join(folder, name));
    const flags = [[], ["--seed", "0"], ["--seed", "1"]];
    for (const [number, output] of outputs.entries()) {
      const { code, stderr } = await lorafold([...mergeArguments(made), "--rounding", "stochastic", ...(flags[number] ?? []), "--out", output, "--quiet"]);
      assert.equal(code, 0, stderr);
    }
    const [without, zero, one] = await Promise.all(outputs.map(snapshot));
    assert.deepEqual(without, zero);
    assert.notDeepEqual(one, zero);
    for (const { tensor, sha256: expected } of MERGES.get("dtype-bf16 to keep with seed 0") ?? assert.fail()) {
      const found = readModel(outputs[0] ?? "").get(tensor);
      assert.ok(found);
      assert.equal(sha256(found.bytes), expected, tensor);
    }
  });

  test("a type that holds what is computed is told", async () => {
    const made = fixture("dtype-bf16");
    const { findings } = await plan({ base: made.base, adapters: adapterOptions(made), dtype: "float32", rounding: "stochastic" });
    assert.ok(findings.some(({ code }) => code === "nothing-rounded"), JSON.stringify(findings));
  });
});
