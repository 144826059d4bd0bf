// @ts-check
// One instance stays within its budget, whatever the size of the tensor.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Merger, Plan, blockBytes, initSync } from "../../pkg/lorafold.js";
import { largeModel } from "./large-model.mjs";
import { scratch } from "./scratch.mjs";
import { openSync, readSync, statSync } from "node:fs";

test("an instance takes its budget and the factors, no more", async (t) => {
  const { memory } = initSync({ module: await WebAssembly.compile(await readFile(new URL("../../pkg/lorafold_bg.wasm", import.meta.url))) });
  const folder = await scratch(t);
  const [rows, cols] = [600_000, 2048];
  const { base, adapter } = await largeModel(folder, { rows, cols });
  const paths = [join(base, "model.safetensors"), join(adapter, "adapter_config.json"), join(adapter, "adapter_model.safetensors")];
  const inputs = paths.map((path) => {
    const descriptor = openSync(path, "r");
    return {
      name: path,
      size: statSync(path).size,
      /** @param {Uint8Array} view @param {number} start */
      readInto: (view, start) => void readSync(descriptor, view, 0, view.length, start),
    };
  });
  const file = (/** @type {number} */ number, /** @type {string} */ name) => ({ name, size: inputs[number].size });
  const adapters = [{ folder: { name: "a", files: [file(1, "adapter_config.json"), file(2, "adapter_model.safetensors")] }, options: {} }];
  const listed = { base: { name: "b", files: [file(0, "model.safetensors")] }, adapters, options: {} };
  const plan = await Plan.open(listed, inputs);
  const merger = new Merger(inputs, false, 0);
  /** @type {any[]} */
  const pieces = plan.pieces(0, 0, inputs[0].size, blockBytes(), undefined);
  const blocks = pieces.filter((piece) => piece.kind === "compute");
  assert.ok(blocks.length > 100, "the tensor is one of gigabytes");
  // The first, the last and some between: every block needs the same.
  merger.load(blocks[0].program, plan.program(blocks[0].program) ?? new Uint8Array());
  for (const { program, first, count } of blocks.filter((_, number) => number % 60 === 0 || number === blocks.length - 1)) {
    await merger.compute(program, first, count, false);
  }
  // Packed in f32, and once more as they come from the file.
  const factors = 2 * 4 * (rows + cols);
  assert.ok(memory.buffer.byteLength <= (64 << 20) + factors, `${memory.buffer.byteLength} bytes`);
});
