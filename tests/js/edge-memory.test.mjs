// @ts-check
// The edge's limit of 64 MiB of WebAssembly: what needs more is an error of that read alone.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { initialize, openMerged } from "../../pkg/edge.js";
import { initSync } from "../../pkg/lorafold.js";
import { assemble } from "./safetensors-file.mjs";
import { asFiles, factor, Q, tinyModel } from "./tiny-model.mjs";

const wasm = await WebAssembly.compile(await readFile(new URL("../../pkg/lorafold_bg.wasm", import.meta.url)));
await initialize(wasm);
// The instance that `initialize` made.
const { memory } = initSync({ module: wasm });

/** A folder whose tensors are all zeros, and take no memory. @param {string} name @param {Record<string, number[]>} shapes @param {Record<string, string>} texts */
function zeros(name, shapes, texts) {
  let at = 0;
  const tensors = Object.fromEntries(Object.entries(shapes).map(([tensor, shape]) => {
    const bytes = 4 * shape.reduce((a, b) => a * b);
    return [tensor, { dtype: "F32", shape, data_offsets: [at, (at += bytes)] }];
  }));
  const header = assemble(tensors, []);
  return {
    list: async () => [{ name, size: header.length + at }, ...Object.entries(texts).map(([file, { length }]) => ({ name: file, size: length }))],
    read: async (/** @type {string} */ file, /** @type {number} */ start, /** @type {number} */ end) => {
      if (file !== name) return new Uint8Array(Buffer.from(texts[file]).subarray(start, end));
      const bytes = new Uint8Array(end - start);
      if (start < header.length) bytes.set(header.subarray(start, end));
      return bytes;
    },
  };
}

test("factors that do not fit are refused, and the instance goes on", async () => {
  const [side, rank] = [4096, 2100];
  const base = zeros("model.safetensors", { [`${Q}.weight`]: [side, side], "model.norm.weight": [64] }, { "config.json": "{}" });
  const adapter = zeros("adapter_model.safetensors", { [factor(Q, "A")]: [rank, side], [factor(Q, "B")]: [side, rank] },
    { "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: rank, lora_alpha: 1 }) });
  const opened = await openMerged({ base, adapters: [adapter] });
  const { size } = opened.files[0];
  await assert.rejects(opened.read("model.safetensors", size >> 1, (size >> 1) + 4), { name: "LorafoldError", code: "limit-exceeded", message: /rank 2100/ });
  // What needs no factors is still there.
  assert.equal((await opened.read("model.safetensors", size - 256)).length, 256);
  opened.close();
  const small = tinyModel();
  const other = await openMerged({ base: asFiles(small.base), adapters: [asFiles(small.adapter)] });
  assert.ok((await other.read("model.safetensors")).length > 0);
  other.close();
  assert.ok(memory.buffer.byteLength <= 64 << 20, `${memory.buffer.byteLength} bytes`);
});
