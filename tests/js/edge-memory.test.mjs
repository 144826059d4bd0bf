// @ts-check
// The edge's limit of 64 MiB of WebAssembly: what needs more is an error of that read alone.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { promisify } from "node:util";
import { initialize, openMerged, plan } from "../../pkg/edge.js";
import { initSync } from "../../pkg/lorafold.js";
import { assemble } from "./safetensors-file.mjs";
import { asFiles, factor, Q, tinyModel } from "./tiny-model.mjs";

const [wasm, rest] = await Promise.all(["bg", "rest"].map(async (half) => WebAssembly.compile(await readFile(new URL(`../../pkg/lorafold_${half}.wasm`, import.meta.url)))));
await initialize(wasm, { rest });
// The instance that `initialize` made.
const { memory } = initSync({ module: wasm });

/** A folder of weight files, all zeros behind their headers, and of texts. @param {Map<string, { header: Buffer, size: number }>} weights @param {Record<string, string>} texts */
function folderOf(weights, texts) {
  const files = new Map(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)]));
  return {
    list: async () => [...[...weights].map(([name, { size }]) => ({ name, size })), ...[...files].map(([name, { length }]) => ({ name, size: length }))],
    read: async (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => {
      const header = weights.get(name)?.header;
      if (!header) return new Uint8Array(/** @type {Buffer} */ (files.get(name)).subarray(start, end));
      const bytes = new Uint8Array(end - start);
      if (start < header.length) bytes.set(header.subarray(start, end));
      return bytes;
    },
  };
}

/** A folder whose tensors are all zeros, and take no memory. @param {string} name @param {Record<string, number[]>} shapes @param {Record<string, string>} texts */
function zeros(name, shapes, texts) {
  let at = 0;
  const tensors = Object.fromEntries(Object.entries(shapes).map(([tensor, shape]) => {
    const bytes = 4 * shape.reduce((a, b) => a * b);
    return [tensor, { dtype: "F32", shape, data_offsets: [at, (at += bytes)] }];
  }));
  const header = assemble(tensors, []);
  return folderOf(new Map([[name, { header, size: header.length + at }]]), texts);
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

test("a model of 100,000 tensors in 200 shards plans, serves and merges", async () => {
  const [shards, each, side] = [200, 500, 8];
  /** @type {Record<string, string>} */
  const texts = { "config.json": "{}" };
  /** @type {Map<string, { header: Buffer, size: number }>} */
  const weights = new Map();
  /** @type {Record<string, string>} */
  const map = {};
  const name = (/** @type {number} */ shard) => `model-${String(shard + 1).padStart(5, "0")}-of-00200.safetensors`;
  const bytes = 2 * side * side;
  for (let shard = 0; shard < shards; shard++) {
    const tensors = Object.fromEntries(Array.from({ length: each }, (_, number) => {
      const tensor = `model.layers.${shard}.block_sparse_moe.experts.${number}.down_proj.weight`;
      map[tensor] = name(shard);
      return [tensor, { dtype: "BF16", shape: [side, side], data_offsets: [number * bytes, (number + 1) * bytes] }];
    }));
    const header = assemble(tensors, []);
    weights.set(name(shard), { header, size: header.length + each * bytes });
  }
  texts["model.safetensors.index.json"] = JSON.stringify({ metadata: {}, weight_map: map });
  const base = folderOf(weights, texts);
  // Every expert of a layer in twenty is adapted.
  /** @type {Record<string, number[]>} */
  const factors = {};
  for (let shard = 0; shard < shards; shard += 20) for (let number = 0; number < each; number++) {
    const module = `model.layers.${shard}.block_sparse_moe.experts.${number}.down_proj`;
    factors[factor(module, "A")] = [2, side];
    factors[factor(module, "B")] = [side, 2];
  }
  const adapter = zeros("adapter_model.safetensors", factors, { "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: 2, lora_alpha: 1 }) });
  const opened = await openMerged({ base, adapters: [adapter] });
  assert.equal(opened.files.length, shards + 2);
  for (const file of [opened.files[0], opened.files[100], opened.files[shards]]) assert.equal((await opened.read(file.name)).length, file.size);
  opened.close();
  console.log(`${memory.buffer.byteLength} bytes of WebAssembly memory`);
  assert.ok(memory.buffer.byteLength <= 64 << 20, `${memory.buffer.byteLength} bytes`);
});

test("plans whose reports nobody reads take no memory", async () => {
  const shapes = Object.fromEntries(Array.from({ length: 20_000 }, (_, number) => [`model.layers.${number}.mlp.down_proj.weight`, [1, 1]]));
  const base = zeros("model.safetensors", shapes, { "config.json": "{}" });
  const module = "model.layers.0.mlp.down_proj";
  const adapter = zeros("adapter_model.safetensors", { [factor(module, "A")]: [1, 1], [factor(module, "B")]: [1, 1] },
    { "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1 }) });
  for (let round = 0; round < 40; round++) assert.equal((await plan({ base, adapters: [adapter] })).merged, 1);
  assert.ok(memory.buffer.byteLength <= 64 << 20, `${memory.buffer.byteLength} bytes`);
});

test("an instance that runs out of memory is replaced, and the next request is served", async () => {
  // In a process of its own, which an uncaught exception would end.
  const script = `
    import { readFile } from "node:fs/promises";
    import { initialize, openMerged } from ${JSON.stringify(new URL("../../pkg/edge.js", import.meta.url).href)};
    import { assemble } from ${JSON.stringify(new URL("safetensors-file.mjs", import.meta.url).href)};
    import { asFiles, tinyModel } from ${JSON.stringify(new URL("tiny-model.mjs", import.meta.url).href)};
    await initialize(await WebAssembly.compile(await readFile(new URL(${JSON.stringify(new URL("../../pkg/lorafold_bg.wasm", import.meta.url).href)}))));
    const small = tinyModel();
    const held = await openMerged({ base: asFiles(small.base), adapters: [asFiles(small.adapter)] });
    const tensors = {};
    for (let i = 0, at = 0; i < 120_000; i++) for (const half of ["A", "B"]) tensors["base_model.model.layers." + i + ".q_proj.lora_" + half + ".weight"] = { dtype: "F32", shape: [1, 1], data_offsets: [at, (at += 4)] };
    const weights = Buffer.concat([assemble(tensors, []), Buffer.alloc(960_000)]);
    const many = { "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1 }), "adapter_model.safetensors": weights };
    const codes = [];
    const code = async (work) => { try { await work(); codes.push("served"); } catch (error) { codes.push(error.code); } };
    await code(() => openMerged({ base: asFiles(small.base), adapters: [asFiles(many)] }));
    await code(async () => { const opened = await openMerged({ base: asFiles(small.base), adapters: [asFiles(small.adapter)] }); await opened.read("model.safetensors"); opened.close(); });
    await code(() => held.read("model.safetensors"));
    held.close();
    console.log(codes.join(" "));
    process.exit();
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script]);
  assert.equal(stdout.trim(), "limit-exceeded served source-changed");
});

test("a header of nested lists is an error, and the instance goes on", async () => {
  const json = `{"a":${"[".repeat(1_500_000)}${"]".repeat(1_500_000)}}`;
  const file = Buffer.concat([Buffer.alloc(8), Buffer.from(json)]);
  file.writeBigUInt64LE(BigInt(json.length));
  const base = { list: async () => [{ name: "model.safetensors", size: file.length }], read: async (/** @type {string} */ _, /** @type {number} */ start, /** @type {number} */ end) => new Uint8Array(file.subarray(start, end)) };
  const small = tinyModel();
  await assert.rejects(openMerged({ base, adapters: [asFiles(small.adapter)] }), { name: "LorafoldError", code: "bad-header" });
  const other = await openMerged({ base: asFiles(small.base), adapters: [asFiles(small.adapter)] });
  assert.ok((await other.read("model.safetensors")).length > 0);
  other.close();
});
