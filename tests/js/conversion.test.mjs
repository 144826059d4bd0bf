// @ts-check
// Outputs of another element type, and in shards of another size.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { merge } from "../../pkg/node.js";
import { lorafold } from "./command.mjs";
import { adapterOptions, baseOf, expectedOf, fixture, mergeArguments } from "./fixture.mjs";
import { FORMATS, largest, round, ulp } from "./numbers.mjs";
import { buildSafetensors, readModel, readSafetensors, valuesOf } from "./safetensors-file.mjs";
import { scratch } from "./scratch.mjs";
import { asFiles, TENSORS, tinyModel } from "./tiny-model.mjs";

/** @typedef {import("./numbers.mjs").Float} Float */

/** @type {[string, Float, "float32" | "float16" | "bfloat16"][]} */
const TYPES = [["f32", "F32", "float32"], ["f16", "F16", "float16"], ["bf16", "BF16", "bfloat16"]];

/** Every string under a key `dtype` or `torch_dtype`. @param {any} value @returns {string[]} */
function typesIn(value) {
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    (key === "dtype" || key === "torch_dtype") && typeof inner === "string" ? [inner] : typesIn(inner));
}

describe("other element types", { concurrency: 2 }, () => {
  for (const name of ["linear-r8", "dtype-f32", "dtype-f64", "dtype-f16", "passthrough", "sharded", "gpt2"]) {
    for (const [flag, format, torch] of TYPES) {
      test(`${name} as ${flag}`, async (t) => {
        const made = fixture(name);
        const out = join(await scratch(t), "out");
        if (name === "linear-r8") {
          const ended = await lorafold([...mergeArguments(made), "--out", out, "--dtype", flag]);
          assert.equal(ended.code, 0, ended.stderr);
        } else {
          await merge({ base: made.base, adapters: adapterOptions(made), output: out, dtype: torch, workers: 0 });
        }
        const [base, merged, expected] = [baseOf(made), readModel(out), expectedOf(made)];
        assert.deepEqual([...merged.keys()].sort(), [...base.keys()].sort());
        for (const [tensor, before] of base) {
          const now = merged.get(tensor);
          assert.ok(now);
          assert.deepEqual(now.shape, before.shape);
          if (!(before.dtype in FORMATS)) {
            assert.equal(now.dtype, before.dtype);
            assert.ok(now.bytes.equals(before.bytes), `${tensor} is untouched`);
            continue;
          }
          assert.equal(now.dtype, format, tensor);
          const [values, from] = [valuesOf(now), valuesOf(before)];
          const exact = expected.get(`${tensor}.f64`);
          if (!exact) {
            for (const [i, value] of values.entries()) assert.equal(value, round(from[i], format), `${tensor}[${i}] is converted`);
            continue;
          }
          const sums = valuesOf(exact);
          const slack = format === "F32" ? 5e-7 * largest(sums) : 0;
          for (const [i, sum] of sums.entries()) {
            const scale = Math.max(Math.abs(from[i]), Math.abs(sum - from[i]), Math.abs(sum));
            assert.ok(Math.abs(values[i] - round(sum, format)) <= Math.max(slack, ulp(scale, format)), `${tensor}[${i}]`);
          }
        }
        const config = JSON.parse(readFileSync(join(out, "config.json"), "utf8"));
        const original = JSON.parse(readFileSync(join(made.base, "config.json"), "utf8"));
        const types = typesIn(config);
        assert.ok(types.length > 0 && types.every((type) => type === torch), `config.json says ${types}`);
        for (const key of ["dtype", "torch_dtype"]) if (key in original) original[key] = torch;
        assert.deepEqual(config, original);
        assert.deepEqual(Object.keys(config), Object.keys(original));
        // Every tensor lies on a multiple of its element's width.
        for (const file of readdirSync(out).filter((file) => file.endsWith(".safetensors"))) {
          for (const [tensor, { dtype, start }] of readSafetensors(join(out, file)).tensors) {
            if (dtype in FORMATS) assert.equal(start % FORMATS[/** @type {Float} */ (dtype)].width, 0, tensor);
          }
        }
      });
    }
  }

  test("one rounding from float64, not a second one by way of float32", async (t) => {
    const folder = await scratch(t);
    const { base, adapter } = tinyModel();
    // Just above the middle between two bf16 numbers; as float32 it would be the middle, and round to the even one below.
    const above = 1 + 2 ** -8 + 2 ** -40;
    base["model.safetensors"] = buildSafetensors({
      ...TENSORS.base,
      "model.norm.weight": { dtype: "F64", shape: [2], values: [above, -above] },
    });
    const result = await merge({ base: asFiles(base), adapters: [asFiles(adapter)], output: join(folder, "out"), dtype: "bfloat16", workers: 0 });
    assert.equal(result.report.merged, 2);
    const norm = readModel(join(folder, "out")).get("model.norm.weight");
    assert.ok(norm);
    assert.deepEqual([...valuesOf(norm)], [1 + 2 ** -7, -1 - 2 ** -7]);
  });
});

describe("shards of another size", { concurrency: 2 }, () => {
  for (const name of ["sharded", "sharded-no-index", "linear-r8", "passthrough"]) {
    for (const [size, most] of /** @type {[string, number][]} */ ([["1500", 1500], ["4kB", 4000], ["8KiB", 8192], ["1GB", 1e9]])) {
      test(`${name} in ${size}`, async (t) => {
        const made = fixture(name);
        const folder = await scratch(t);
        const [out, whole] = [join(folder, "out"), join(folder, "whole")];
        const ended = await lorafold([...mergeArguments(made), "--out", out, "--max-shard-size", size]);
        assert.equal(ended.code, 0, ended.stderr);
        await merge({ base: made.base, adapters: adapterOptions(made), output: whole, workers: 0 });
        const [split, plain] = [readModel(out), readModel(whole)];
        assert.deepEqual([...split.keys()].sort(), [...plain.keys()].sort());
        for (const [tensor, { bytes, dtype }] of split) {
          assert.ok(bytes.equals(plain.get(tensor)?.bytes ?? Buffer.alloc(0)) && dtype === plain.get(tensor)?.dtype, tensor);
        }
        const shards = readdirSync(out).filter((file) => file.endsWith(".safetensors")).sort();
        const number = (/** @type {number} */ n) => String(n).padStart(5, "0");
        assert.deepEqual(shards, shards.length === 1 ? ["model.safetensors"]
          : shards.map((_, i) => `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`));
        if (most < 1e9) assert.ok(shards.length > 1);
        for (const shard of shards) {
          const { tensors, metadata } = readSafetensors(join(out, shard));
          const bytes = [...tensors.values()].reduce((sum, tensor) => sum + tensor.bytes.length, 0);
          assert.ok(bytes <= most || tensors.size === 1, `${shard} has ${bytes} bytes`);
          assert.equal(metadata?.format, "pt");
        }
        const hasIndex = readdirSync(out).includes("model.safetensors.index.json");
        assert.equal(hasIndex, shards.length > 1 || name === "sharded");
        if (hasIndex) {
          const index = JSON.parse(readFileSync(join(out, "model.safetensors.index.json"), "utf8"));
          assert.equal(index.metadata.total_size, [...split.values()].reduce((sum, { bytes }) => sum + bytes.length, 0));
          assert.deepEqual(Object.entries(index.weight_map).sort(), [...split].map(([tensor, { file }]) => [tensor, file]).sort());
        }
      });
    }
  }
});
