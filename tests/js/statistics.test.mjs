// @ts-check
// The statistics of the report, computed anew from the files.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { merge } from "../../pkg/node.js";
import { adapterOptions, baseOf, expectedOf, fixture } from "./fixture.mjs";
import { encode } from "./numbers.mjs";
import { buildSafetensors, readModel, valuesOf } from "./safetensors-file.mjs";
import { scratch } from "./scratch.mjs";
import { asFiles } from "./tiny-model.mjs";

/** @typedef {import("./numbers.mjs").Float} Float */

/** @param {string} label @param {number | null} actual @param {number} expected @param {number} within relative */
function near(label, actual, expected, within) {
  assert.ok(actual !== null && Math.abs(actual - expected) <= within * Math.abs(expected), `${label} is ${actual}, and should be ${expected}`);
}

describe("statistics", { concurrency: 2 }, () => {
  for (const name of [
    "linear-r8", "linear-r64", "dtype-f32", "dtype-f16", "dtype-f64", "gpt2", "three-adapters", "odd-sizes", "passthrough", "dora-linear",
    "dora-and-lora-gpt2", "dora-f16", "dora-f64",
  ]) {
    for (const dtype of /** @type {const} */ (["keep", "bfloat16", "float32"])) {
      test(`${name}, ${dtype}`, async (t) => {
        const made = fixture(name);
        const output = join(await scratch(t), "out");
        const { report } = await merge({ base: made.base, adapters: adapterOptions(made), output, dtype, workers: 1, statistics: true });
        const [base, merged, expected] = [baseOf(made), readModel(output), expectedOf(made)];
        for (const tensor of report.tensors) {
          if (tensor.action !== "merge") {
            assert.equal(tensor.statistics, undefined);
            continue;
          }
          const [before, after, exact] = [base.get(tensor.name), merged.get(tensor.name), expected.get(`${tensor.name}.f64`)];
          assert.ok(before && after && exact && tensor.statistics);
          const [from, to, sums] = [valuesOf(before), valuesOf(after), valuesOf(exact)];
          const converted = encode(from, /** @type {Float} */ (after.dtype));
          const width = converted.length / from.length;
          const sum = { delta: 0, base: 0, most: 0, changed: 0, kept: 0 };
          for (const [i, value] of from.entries()) {
            const delta = sums[i] - value;
            sum.delta += delta * delta;
            sum.base += value * value;
            sum.most = Math.max(sum.most, Math.abs(delta));
            sum.kept += (to[i] - value) * delta;
            const place = [i * width, (i + 1) * width];
            if (!after.bytes.subarray(...place).equals(converted.subarray(...place))) sum.changed++;
          }
          const { deltaNorm, baseNorm, relativeNorm, maxDelta, changed, signalKept } = tensor.statistics;
          near(`${tensor.name}: deltaNorm`, deltaNorm, Math.sqrt(sum.delta), 1e-4);
          near(`${tensor.name}: baseNorm`, baseNorm, Math.sqrt(sum.base), 1e-4);
          near(`${tensor.name}: relativeNorm`, relativeNorm, Math.sqrt(sum.delta / sum.base), 1e-4);
          near(`${tensor.name}: maxDelta`, maxDelta, sum.most, 1e-4);
          near(`${tensor.name}: changed`, changed, sum.changed / from.length, 1e-5);
          near(`${tensor.name}: signalKept`, signalKept, sum.kept / sum.delta, 1e-4);
        }
      });
    }
  }

  test("are left out when nobody asked for them", async () => {
    const made = fixture("linear-r8");
    const { report } = await merge({ base: made.base, adapters: adapterOptions(made), workers: 0 });
    assert.ok(report.merged > 0);
    assert.ok(report.tensors.every(({ statistics }) => statistics === undefined));
  });

  test("do not change the output, nor do workers change them", async () => {
    const made = fixture("three-adapters");
    const reports = [];
    for (const workers of [0, 1, 3]) reports.push((await merge({ base: made.base, adapters: adapterOptions(made), workers, statistics: true })).report);
    for (const report of reports) assert.deepEqual(report, reports[0]);
  });

  test("beyond what can be added up are null, and the merge is done all the same", async () => {
    const made = fixture("linear-r8");
    const adapters = [{ source: made.adapters[0].path, weight: 1e38 }];
    const { report } = await merge({ base: made.base, adapters, workers: 1, statistics: true });
    const { statistics } = report.tensors.find(({ action }) => action === "merge") ?? {};
    assert.ok(statistics);
    assert.deepEqual([statistics.deltaNorm, statistics.signalKept, statistics.changed], [null, null, 1]);
    assert.ok((statistics.maxDelta ?? 0) > 1e34);
  });

  test("of a result that overflows count the whole delta, and do not say what of it is kept", async () => {
    const base = asFiles({ "model.safetensors": buildSafetensors({ "x.q.weight": { dtype: "F16", shape: [4, 4], values: Array(16).fill(1) } }) });
    const factors = { A: [1, 4], B: [4, 1] };
    const tensors = Object.entries(factors).map(([half, shape]) => /** @type {const} */ ([`x.q.lora_${half}.weight`, { dtype: "F32", shape, values: Array(4).fill(300) }]));
    const source = asFiles({
      "adapter_config.json": Buffer.from(JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1 })),
      "adapter_model.safetensors": buildSafetensors(Object.fromEntries(tensors)),
    });
    const { report } = await merge({ base, adapters: [source], workers: 0, statistics: true, allowNonfinite: true });
    const { deltaNorm, baseNorm, maxDelta, changed, signalKept } = report.tensors[0].statistics ?? {};
    assert.deepEqual([deltaNorm, baseNorm, maxDelta, changed, signalKept], [360_000, 4, 90_000, 1, null]);
  });
});
