// @ts-check
// The benchmark's models and adapters: made once, seeded, kept in a folder for temporary files.
//   LORAFOLD_BENCH_DIR   where they lie and where results are written; the disk under it is the one that is measured
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, statfsSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Weights } from "./weights.mjs";

/**
 * A model of Llama's architecture in bf16, with heads of 64.
 * @typedef {object} Shape
 * @property {number} hidden
 * @property {number} inter
 * @property {number} layers
 * @property {number} vocab
 * @property {number} kv columns of keys and values
 * @property {number} shards
 * @property {boolean} [conv1d] GPT-2's layers instead, stored (inputs, outputs)
 */

/** @typedef {{ name: string, shape: number[] }} Tensor */

/** TinyLlama's shape: 1.1 B parameters, 2.2 GB. @type {Shape} */
export const LLAMA_1B = { hidden: 2048, inter: 5632, layers: 22, vocab: 32000, kv: 256, shards: 3 };

/** Small enough for a build machine: 20 MB. @type {Shape} */
export const TOY = { hidden: 512, inter: 1408, layers: 3, vocab: 1000, kv: 64, shards: 3 };

/** The larger matrices of GPT-2's layers at that width: 0.9 GB. @type {Shape} */
export const GPT2_WIDE = { hidden: 2048, inter: 8192, layers: 8, vocab: 8000, kv: 2048, shards: 1, conv1d: true };

/** The same matrices in more or fewer layers, vocabulary in proportion: only the number of bytes differs.
 * @param {Shape} shape @param {number} layers @returns {Shape} */
export const withLayers = (shape, layers) => ({ ...shape, layers, vocab: 1000 * layers, shards: Math.ceil(layers / 10) });

/** Everything the benchmark writes is below it. */
export const workFolder = process.env.LORAFOLD_BENCH_DIR ?? join(tmpdir(), "lorafold-bench");

export function freeBytes() {
  mkdirSync(workFolder, { recursive: true });
  const { bavail, bsize } = statfsSync(workFolder);
  return bavail * bsize;
}

/** @param {Tensor} tensor */
const elements = ({ shape }) => shape.reduce((product, side) => product * side, 1);

/** Layers that adapters change, [outputs, inputs]. @param {Shape} shape @returns {[string, [number, number]][]} */
function linears({ hidden, inter, kv, conv1d }) {
  if (conv1d) {
    return [
      ["attn.c_attn", [3 * hidden, hidden]], ["attn.c_proj", [hidden, hidden]], ["mlp.c_fc", [inter, hidden]], ["mlp.c_proj", [hidden, inter]],
    ];
  }
  return [
    ["self_attn.q_proj", [hidden, hidden]], ["self_attn.k_proj", [kv, hidden]], ["self_attn.v_proj", [kv, hidden]],
    ["self_attn.o_proj", [hidden, hidden]], ["mlp.gate_proj", [inter, hidden]], ["mlp.up_proj", [inter, hidden]],
    ["mlp.down_proj", [hidden, inter]],
  ];
}

/** Path of a layer. @param {Shape} shape @param {number} layer */
const layerPath = ({ conv1d }, layer) => (conv1d ? `transformer.h.${layer}` : `model.layers.${layer}`);

/** @param {Shape} shape @returns {Tensor[]} */
function baseTensors(shape) {
  const { hidden, layers, vocab, conv1d } = shape;
  const tensors = [{ name: "model.embed_tokens.weight", shape: [vocab, hidden] }];
  for (let layer = 0; layer < layers; layer++) {
    const prefix = layerPath(shape, layer);
    for (const [name, sides] of linears(shape)) tensors.push({ name: `${prefix}.${name}.weight`, shape: conv1d ? [...sides].reverse() : [...sides] });
    for (const name of ["input_layernorm", "post_attention_layernorm"]) tensors.push({ name: `${prefix}.${name}.weight`, shape: [hidden] });
  }
  tensors.push({ name: "model.norm.weight", shape: [hidden] }, { name: "lm_head.weight", shape: [vocab, hidden] });
  return tensors;
}

/** Bytes of a base's tensors. @param {Shape} shape */
export const baseBytes = (shape) => baseTensors(shape).reduce((sum, tensor) => sum + 2 * elements(tensor), 0);

/** Bytes of those that adapters change. @param {Shape} shape */
export const mergedBytes = (shape) => shape.layers * linears(shape).reduce((sum, [, [rows, cols]]) => sum + 2 * rows * cols, 0);

/**
 * @param {string} file
 * @param {Tensor[]} tensors
 * @param {"BF16" | "F32"} dtype
 * @param {(name: string) => Weights} weightsOf
 */
export function writeSafetensors(file, tensors, dtype, weightsOf) {
  const width = dtype === "F32" ? 4 : 2;
  /** @type {Record<string, unknown>} */
  const header = { __metadata__: { format: "pt" } };
  let end = 0;
  for (const tensor of tensors) {
    header[tensor.name] = { dtype, shape: tensor.shape, data_offsets: [end, (end += elements(tensor) * width)] };
  }
  let text = JSON.stringify(header);
  text += " ".repeat(-text.length & 7);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const descriptor = openSync(file, "w");
  writeSync(descriptor, Buffer.concat([length, Buffer.from(text)]));
  for (const tensor of tensors) {
    for (const part of weightsOf(tensor.name).take(elements(tensor) * width)) writeSync(descriptor, part);
  }
  closeSync(descriptor);
}

/** Make a folder unless it is there; one that is not complete has another name. @param {string} name @param {(folder: string) => void} fill */
export function folder(name, fill) {
  const path = join(workFolder, name);
  if (existsSync(path)) return path;
  const partial = `${path}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  fill(partial);
  renameSync(partial, path);
  return path;
}

/** @param {string} file @param {unknown} value */
export const writeJson = (file, value) => writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);

/** @param {Shape} shape */
const label = ({ hidden, inter, layers, vocab, kv, shards, conv1d }) => `${conv1d ? "conv1d-" : ""}h${hidden}-i${inter}-l${layers}-v${vocab}-kv${kv}-s${shards}`;

/** The folder of a base model. @param {Shape} shape */
export function baseModel(shape) {
  return folder(`base-${label(shape)}`, (path) => {
    const weights = new Weights("BF16", 0.02, 1);
    const tensors = baseTensors(shape);
    const limit = baseBytes(shape) / shape.shards;
    /** @type {Tensor[][]} */
    const shards = Array.from({ length: shape.shards }, () => []);
    let bytes = 0;
    for (const tensor of tensors) {
      shards[Math.min(Math.floor(bytes / limit), shape.shards - 1)].push(tensor);
      bytes += 2 * elements(tensor);
    }
    const pad = (/** @type {number} */ number) => String(number).padStart(5, "0");
    /** @type {Record<string, string>} */
    const map = {};
    for (const [number, shard] of shards.entries()) {
      const name = `model-${pad(number + 1)}-of-${pad(shape.shards)}.safetensors`;
      for (const tensor of shard) map[tensor.name] = name;
      writeSafetensors(join(path, name), shard, "BF16", () => weights);
    }
    writeJson(join(path, "model.safetensors.index.json"), { metadata: { total_size: bytes }, weight_map: map });
    writeJson(join(path, "config.json"), {
      ...(shape.conv1d ? { architectures: ["GPT2LMHeadModel"], model_type: "gpt2" } : { architectures: ["LlamaForCausalLM"], model_type: "llama" }),
      torch_dtype: "bfloat16", hidden_act: "silu", rms_norm_eps: 1e-5,
      hidden_size: shape.hidden, intermediate_size: shape.inter, num_hidden_layers: shape.layers, vocab_size: shape.vocab,
      num_attention_heads: shape.hidden / 64, num_key_value_heads: shape.kv / 64, head_dim: 64, max_position_embeddings: 2048,
      tie_word_embeddings: false, bos_token_id: 1, eos_token_id: 2,
    });
  });
}

/** The folder of an adapter on every linear layer, in f32. @param {Shape} shape @param {number} rank @param {{ seed?: number, dora?: boolean }} [options] */
export function adapter(shape, rank, { seed = 7, dora = false } = {}) {
  return folder(`${dora ? "dora" : "adapter"}-r${rank}-n${seed}-${label(shape)}`, (path) => {
    const tensors = [];
    for (let layer = 0; layer < shape.layers; layer++) {
      for (const [name, [outputs, inputs]] of linears(shape)) {
        const prefix = `base_model.model.${layerPath(shape, layer)}.${name}`;
        tensors.push({ name: `${prefix}.lora_A.weight`, shape: [rank, inputs] }, { name: `${prefix}.lora_B.weight`, shape: [outputs, rank] });
        if (dora) tensors.push({ name: `${prefix}.lora_magnitude_vector`, shape: [outputs] });
      }
    }
    // A delta of about a hundredth of the weights, as training gives.
    const a = new Weights("F32", 0.02, seed);
    const b = new Weights("F32", 0.02 / rank, seed + 1);
    writeSafetensors(join(path, "adapter_model.safetensors"), tensors, "F32", (name) => (name.includes("lora_A") ? a : b));
    writeJson(join(path, "adapter_config.json"), {
      peft_type: "LORA", task_type: "CAUSAL_LM", base_model_name_or_path: null, bias: "none", inference_mode: true,
      fan_in_fan_out: shape.conv1d ?? false, init_lora_weights: true, lora_dropout: 0, r: rank, lora_alpha: 2 * rank, use_rslora: false, use_dora: dora,
      target_modules: linears(shape).map(([name]) => name.split(".")[1]),
    });
  });
}
