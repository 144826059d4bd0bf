// @ts-check
// A model of some MB in two shards, with an adapter, and what the command line makes of them.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import assert from "node:assert/strict";
import { lorafold } from "../js/command.mjs";
import { random } from "../js/numbers.mjs";
import { buildSafetensors } from "../js/safetensors-file.mjs";
import { snapshot, writeFolder } from "../js/scratch.mjs";
import { factor } from "../js/tiny-model.mjs";

const ROWS = 1024;
const SHARDS = [
  { name: "model-00001-of-00002.safetensors", tensors: [["a.embed", 1500], ["a.q_proj", 2048], ["a.up_proj", 2500]] },
  { name: "model-00002-of-00002.safetensors", tensors: [["b.q_proj", 1100], ["b.norm", 1], ["b.up_proj", 2047]] },
];
/** The name of the shard that both models have. */
export const SHARD = "model-00002-of-00002.safetensors";

/** bf16 numbers of every sign and mantissa, none larger than 1. @param {number} count @param {() => number} next */
function weights(count, next) {
  const words = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    const bits = Math.floor(next() * 2 ** 20);
    words[i] = ((bits & 1) << 15) | ((0x6c + ((bits >> 1) & 15)) << 7) | ((bits >> 5) & 127);
  }
  return new Uint8Array(words.buffer);
}

/** One of two shards, or of the second one alone. @param {string} folder @param {{ small?: boolean }} [options] */
export async function shardedModel(folder, { small = false } = {}) {
  const next = random(1);
  /** @type {Record<string, string>} */
  const map = {};
  /** @type {Record<string, Uint8Array | string>} */
  const base = { "config.json": '{"model_type":"llama","torch_dtype":"bfloat16"}', "generation_config.json": "{}" };
  // Larger than a part, though not weights.
  if (!small) base["tokenizer.json"] = JSON.stringify(Array.from({ length: 900_000 }, (_, i) => i));
  /** @type {Record<string, import("../js/safetensors-file.mjs").NewTensor>} */
  const factors = {};
  for (const { name, tensors } of small ? SHARDS.slice(1) : SHARDS) {
    const shard = Object.fromEntries(tensors.map(([module, cols]) => {
      map[`${module}.weight`] = name;
      return [`${module}.weight`, { dtype: "BF16", shape: [ROWS, Number(cols)], bytes: Buffer.from(weights(ROWS * Number(cols), next)) }];
    }));
    base[name] = buildSafetensors(shard);
    for (const [module, cols] of tensors.filter(([module]) => /proj/.test(String(module)))) {
      const numbers = (/** @type {number} */ count) => Float64Array.from({ length: count }, () => (next() - 0.5) / 8);
      factors[factor(String(module), "A")] = { dtype: "F32", shape: [4, Number(cols)], values: numbers(4 * Number(cols)) };
      factors[factor(String(module), "B")] = { dtype: "F32", shape: [ROWS, 4], values: numbers(4 * ROWS) };
    }
  }
  base["model.safetensors.index.json"] = JSON.stringify({ metadata: { total_size: 0 }, weight_map: map });
  await writeFolder(join(folder, "base"), base);
  await writeFolder(join(folder, "adapter"), {
    "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: 4, lora_alpha: 8, target_modules: ["q_proj", "up_proj"] }),
    "adapter_model.safetensors": buildSafetensors(factors),
  });
  return { base: join(folder, "base"), adapter: join(folder, "adapter") };
}

/** Hashes of what the command line makes. @param {{ base: string, adapter: string }} model @param {number} weight @param {string} out */
export async function byCommandLine({ base, adapter }, weight, out) {
  const { code, stderr } = await lorafold(["merge", "--base", base, "--adapter", `${adapter}@${weight}`, "--out", out, "--quiet"]);
  assert.equal(code, 0, stderr);
  return snapshot(out);
}

/** @param {string} folder @returns {Promise<[string, Uint8Array][]>} */
export async function filesOf(folder) {
  return Promise.all((await readdir(folder)).map(async (name) => /** @type {[string, Uint8Array]} */ ([name, new Uint8Array(await readFile(join(folder, name)))])));
}
