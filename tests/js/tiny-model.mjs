// @ts-check
// A base of a few dozen numbers with an adapter that fits it, and random ones.
import { random } from "./numbers.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";

/**
 * @typedef {Record<string, Buffer>} Files
 * @typedef {{ base: Files, adapter: Files }} Model
 * @typedef {import("./safetensors-file.mjs").NewTensor} NewTensor
 */

export const Q = "model.layers.0.self_attn.q_proj";
export const V = "model.layers.0.self_attn.v_proj";
/** @param {string} module @param {"A" | "B"} half */
export const factor = (module, half) => `base_model.model.${module}.lora_${half}.weight`;

/** @param {number} count @param {number} from */
const ramp = (count, from) => Array.from({ length: count }, (_, i) => from + ((i * 7) % 11) / 16);

/** @type {{ base: Record<string, NewTensor>, adapter: Record<string, NewTensor> }} */
export const TENSORS = {
  base: {
    "model.embed_tokens.weight": { dtype: "F32", shape: [6, 4], values: ramp(24, -0.5) },
    [`${Q}.weight`]: { dtype: "F32", shape: [5, 4], values: ramp(20, -0.25) },
    [`${V}.weight`]: { dtype: "F32", shape: [3, 4], values: ramp(12, 0.25) },
    "model.norm.weight": { dtype: "F32", shape: [4], values: [1, 1, 1, 1] },
  },
  adapter: {
    [factor(Q, "A")]: { dtype: "F32", shape: [2, 4], values: ramp(8, -0.3) },
    [factor(Q, "B")]: { dtype: "F32", shape: [5, 2], values: ramp(10, 0.1) },
    [factor(V, "A")]: { dtype: "F32", shape: [2, 4], values: ramp(8, 0.2) },
    [factor(V, "B")]: { dtype: "F32", shape: [3, 2], values: ramp(6, -0.2) },
  },
};

export const CONFIGS = {
  base: { model_type: "llama", torch_dtype: "float32", tie_word_embeddings: false },
  adapter: { peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["q_proj", "v_proj"], bias: "none", task_type: "CAUSAL_LM" },
};

/** A model whose merge succeeds. @returns {Model} */
export const tinyModel = () => ({
  base: {
    "config.json": Buffer.from(JSON.stringify(CONFIGS.base)),
    "model.safetensors": buildSafetensors(TENSORS.base),
    "tokenizer.json": Buffer.from("{}"),
  },
  adapter: {
    "adapter_config.json": Buffer.from(JSON.stringify(CONFIGS.adapter)),
    "adapter_model.safetensors": buildSafetensors(TENSORS.adapter),
  },
});

/** A base in one or two files and two adapters of odd sizes, the same for the same seed.
 * @param {number} seed
 * @returns {{ base: Files, adapters: { files: Files, weight: number }[] }} */
export function randomModel(seed) {
  const next = random(seed);
  const whole = (/** @type {number} */ from, /** @type {number} */ to) => from + Math.floor(next() * (to - from + 1));
  const pick = (/** @type {string[]} */ list) => list[whole(0, list.length - 1)];
  const numbers = (/** @type {number} */ count, /** @type {number} */ size) => Array.from({ length: count }, () => (next() * 2 - 1) * size);
  const layers = Array.from({ length: whole(1, 4) }, (_, i) => ({ module: `model.layers.${i}.mlp.up_proj`, outputs: whole(1, 150), inputs: whole(1, 200) }));
  /** @type {Record<string, NewTensor>[]} */
  const shards = [{}, {}];
  for (const [i, { module, outputs, inputs }] of layers.entries()) {
    const dtype = pick(["F32", "F16", "BF16", "F64"]);
    shards[i % 2][`${module}.weight`] = { dtype, shape: [outputs, inputs], values: numbers(outputs * inputs, 1) };
    shards[i % 2][`model.layers.${i}.extra`] = { dtype: "U8", shape: [whole(0, 40)], bytes: Buffer.from("") };
    const extra = shards[i % 2][`model.layers.${i}.extra`];
    extra.bytes = Buffer.from(numbers(extra.shape[0], 127).map((value) => value & 255));
  }
  const names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  /** @type {Files} */
  const base = { "config.json": Buffer.from("{}") };
  /** @type {Record<string, string>} */
  const map = {};
  for (const [i, shard] of shards.entries()) {
    base[names[i]] = buildSafetensors(shard);
    for (const tensor of Object.keys(shard)) map[tensor] = names[i];
  }
  base["model.safetensors.index.json"] = Buffer.from(JSON.stringify({ metadata: { total_size: 0 }, weight_map: map }));
  const adapters = [1, -0.5].map((weight) => {
    const r = whole(1, 20);
    const dtype = pick(["F32", "F16", "BF16"]);
    /** @type {Record<string, NewTensor>} */
    const factors = {};
    // Every adapter leaves some layers out, but never all.
    for (const { module, outputs, inputs } of layers.filter((_, i) => i === 0 || next() < 0.7)) {
      factors[factor(module, "A")] = { dtype, shape: [r, inputs], values: numbers(r * inputs, 0.3) };
      factors[factor(module, "B")] = { dtype, shape: [outputs, r], values: numbers(outputs * r, 0.3) };
    }
    const config = { peft_type: "LORA", r, lora_alpha: whole(1, 32), use_rslora: next() < 0.5 };
    const files = { "adapter_config.json": Buffer.from(JSON.stringify(config)), "adapter_model.safetensors": buildSafetensors(factors) };
    return { files, weight };
  });
  return { base, adapters };
}

/** @param {Record<string, Uint8Array>} files @returns {File[]} */
export const asFiles = (files) => Object.entries(files).map(([name, bytes]) => new File([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)], name));
