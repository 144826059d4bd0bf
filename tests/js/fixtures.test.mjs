// @ts-check
// Every case that PEFT made: the merged model is the sum that float64 gives, rounded once, and the rest is untouched.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { merge } from "../../pkg/node.js";
import { mergeHere } from "./command.mjs";
import { adapterOptions, baseOf, CASES, expectedOf, fixture, mergeArguments } from "./fixture.mjs";
import { largest, round, ulp } from "./numbers.mjs";
import { readModel, readSafetensors, valuesOf } from "./safetensors-file.mjs";
import { hashes, scratch, snapshot } from "./scratch.mjs";

/** @typedef {import("./numbers.mjs").Float} Float */

/** Of all merged elements of f16 and bf16 outputs: how many there are, how many are the nearest to the exact sum. */
const halves = { elements: 0, nearest: 0 };

/** @param {string} label @param {Float} format @param {Float64Array} merged @param {Float64Array} exact @param {Float64Array} base */
function compareWithExact(label, format, merged, exact, base) {
  assert.equal(merged.length, exact.length, label);
  const slack = 5e-7 * largest(exact);
  for (let i = 0; i < exact.length; i++) {
    const off = Math.abs(merged[i] - exact[i]);
    if (format === "F32" || format === "F64") {
      assert.ok(off <= slack, `${label}[${i}] is ${merged[i]}, exactly ${exact[i]}`);
      continue;
    }
    halves.elements++;
    if (merged[i] === round(exact[i], format)) halves.nearest++;
    const scale = Math.max(Math.abs(base[i] ?? 0), Math.abs(exact[i] - (base[i] ?? 0)), Math.abs(exact[i]));
    assert.ok(Math.abs(merged[i] - round(exact[i], format)) <= ulp(scale, format), `${label}[${i}] is ${merged[i]}, exactly ${exact[i]}`);
  }
}

/** PEFT's own result, in float32, may be off by as much as ours. @param {string} label @param {Float} format @param {Float64Array} merged @param {Float64Array} peft */
function compareWithPeft(label, format, merged, peft) {
  const slack = 5e-7 * largest(peft);
  for (let i = 0; i < peft.length; i++) {
    const rounding = format === "F32" || format === "F64" ? 0 : ulp(Math.max(Math.abs(peft[i]), Math.abs(merged[i])), format) / 2;
    assert.ok(Math.abs(merged[i] - peft[i]) <= slack + rounding, `${label}[${i}] is ${merged[i]}, PEFT has ${peft[i]}`);
  }
}

/** Copies of a layer are where the layer was, and the files have other tensors. @param {Record<string, unknown>} config */
const repeatsLayers = (config) => "num_hidden_layers" in config;

/** @param {import("./fixture.mjs").Case} made @param {string} out */
function compareFiles({ base, added, config }, out) {
  const names = readdirSync(base).sort();
  const made = readdirSync(out).sort();
  // Shards without an index get one: without it no tool loads them.
  const index = "model.safetensors.index.json";
  if (names.filter((name) => name.endsWith(".safetensors")).length > 1 && !names.includes(index)) names.push(index);
  assert.deepEqual(made, names);
  const repeats = repeatsLayers(config);
  for (const name of names) {
    if (name.endsWith(".safetensors")) {
      const before = readSafetensors(join(base, name));
      const now = readSafetensors(join(out, name));
      if (!repeats) assert.deepEqual([...now.tensors.keys()].filter((tensor) => !added.includes(tensor)), [...before.tensors.keys()], `order of ${name}`);
      const { "lorafold.recipe": recipe, ...metadata } = now.metadata ?? {};
      assert.deepEqual(metadata, before.metadata ?? {});
      assert.equal(JSON.parse(recipe).method, "linear");
    } else if (name.endsWith(".index.json")) {
      const index = JSON.parse(readFileSync(join(out, name), "utf8"));
      const tensors = readModel(out);
      assert.equal(index.metadata.total_size, [...tensors.values()].reduce((sum, { bytes }) => sum + bytes.length, 0));
      assert.deepEqual(Object.entries(index.weight_map).sort(), [...tensors].map(([tensor, { file }]) => [tensor, file]).sort());
      if (repeats || !readdirSync(base).includes(name)) continue;
      assert.deepEqual(Object.keys(index.weight_map), Object.keys(JSON.parse(readFileSync(join(base, name), "utf8")).weight_map));
    } else if (name === "config.json" && Object.keys(config).length > 0) {
      const [now, before] = [out, base].map((folder) => JSON.parse(readFileSync(join(folder, name), "utf8")));
      assert.deepEqual(now, { ...before, ...config });
    } else {
      assert.deepEqual(readFileSync(join(out, name)), readFileSync(join(base, name)), `${name} is copied`);
    }
  }
}

describe("cases made by PEFT", { concurrency: 2 }, () => {
  for (const name of CASES) {
    test(name, async (t) => {
      const made = fixture(name);
      const folder = await scratch(t);
      const out = join(folder, "merged");
      const reportFile = join(folder, "report.json");
      assert.equal(await mergeHere([...mergeArguments(made), "--out", out, "--report", reportFile]), 0);

      compareFiles(made, out);
      const base = baseOf(made);
      const merged = readModel(out);
      const expected = expectedOf(made);
      assert.deepEqual([...made.merged, ...made.untouched].sort(), [...base.keys(), ...made.added].sort());
      for (const tensor of made.untouched) {
        const [now, before] = [merged.get(tensor), base.get(tensor)];
        assert.ok(now && before && now.bytes.equals(before.bytes), `${tensor} is untouched`);
        assert.deepEqual([now.dtype, now.shape], [before.dtype, before.shape]);
      }
      for (const tensor of made.merged) {
        const [now, before] = [merged.get(tensor), base.get(tensor)];
        const [exact, peft] = [expected.get(`${tensor}.f64`), expected.get(`${tensor}.peft`)];
        assert.ok(now && exact && peft, tensor);
        assert.deepEqual(now.shape, exact.shape, tensor);
        if (before) assert.equal(now.dtype, before.dtype, tensor);
        const format = /** @type {Float} */ (now.dtype);
        // Of a tensor that the base does not have, and of new rows, nothing.
        compareWithExact(tensor, format, valuesOf(now), valuesOf(exact), before ? valuesOf(before) : new Float64Array());
        compareWithPeft(tensor, format, valuesOf(now), valuesOf(peft));
      }

      const report = JSON.parse(readFileSync(reportFile, "utf8"));
      const reported = report.tensors.filter((/** @type {any} */ tensor) => tensor.action === "merge" || tensor.action === "replace");
      assert.equal(report.merged, reported.length);
      // What is added may be the base's, under another name.
      const names = new Set(reported.map((/** @type {any} */ tensor) => tensor.name));
      const copies = repeatsLayers(made.config) ? made.merged : made.added;
      assert.deepEqual([...names, ...copies.filter((tensor) => !names.has(tensor))].sort(), [...made.merged].sort());
      // Only the cases of LoRA say what the scales of the live layers were.
      const hasScales = made.adapters.some((adapter) => Object.keys(adapter.scales).length > 0);
      for (const { name: tensor, adapters } of hasScales ? reported : []) {
        const scales = made.adapters.filter((adapter) => adapter.scales[tensor]);
        assert.equal(adapters.length, scales.length, tensor);
        for (const [i, { weight, scales: { [tensor]: { rank, alpha, scale } } }] of scales.entries()) {
          assert.deepEqual([adapters[i].rank, adapters[i].alpha, adapters[i].weight], [rank, alpha, weight], tensor);
          assert.ok(Math.abs(adapters[i].scale - scale) <= 1e-12 * Math.abs(scale), tensor);
        }
      }
      for (const { name: file, size } of report.files) assert.equal(statSync(join(out, file)).size, size);

      // The API gives the same bytes as the command, with and without workers.
      const written = await snapshot(out);
      for (const workers of [0, 2]) {
        const result = await merge({ base: made.base, adapters: adapterOptions(made), workers, output: "blob" });
        assert.deepEqual(await hashes(result), written, `${workers} workers`);
      }
    });
  }

  after(() => {
    const share = halves.nearest / halves.elements;
    assert.ok(halves.elements > 10_000, `${halves.elements} elements`);
    assert.ok(share >= 0.999, `${halves.nearest} of ${halves.elements} elements are correctly rounded`);
  });
});
