// @ts-check
// One method after another on the same weights, against low-rank updates that take about as many multiplications and additions for each element.
import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { folder, workFolder, writeJson, writeSafetensors } from "./model.mjs";
import { packageFolder } from "./package.mjs";
import { inTurn } from "./timing.mjs";
import { Weights } from "./weights.mjs";

/** @typedef {import("./table.mjs").Row} Row */
/** @typedef {import("./model.mjs").Tensor} Tensor */
/** @typedef {{ linear: [number, number], conv: [number, number, number, number], tokens: [number, number], layers: number }} Shape */
/** @typedef {(path: string, shape: number[]) => Tensor[]} Spelling the tensors of one module */

/** Every kind of layer has as many elements. @type {Shape} */
const SHAPE = { linear: [2048, 2048], conv: [512, 512, 4, 4], tokens: [2048, 2048], layers: 8 };
/** @type {Shape} */
const TOY = { linear: [128, 128], conv: [32, 32, 4, 4], tokens: [128, 128], layers: 1 };

/** @typedef {"linear" | "conv" | "tokens"} Kind */

/** @param {Shape} shape @param {Kind} kind */
const base = (shape, kind) =>
  folder(`methods-${kind}-${shape[kind].join("x")}-${shape.layers}`, (path) => {
    const tensors = Array.from({ length: shape.layers }, (_, layer) => ({ name: `layers.${layer}.${kind}.weight`, shape: shape[kind] }));
    const weights = new Weights("BF16", 0.02, 1);
    writeSafetensors(join(path, "model.safetensors"), tensors, "BF16", () => weights);
    writeJson(join(path, "config.json"), { model_type: "custom" });
  });

/** @param {string} name @param {Shape} shape @param {Kind} kind @param {Record<string, unknown>} config @param {Spelling} spelling */
const adapter = (name, shape, kind, config, spelling) =>
  folder(`methods-adapter-${name}-${shape[kind].join("x")}-${shape.layers}`, (path) => {
    const tensors = Array.from({ length: shape.layers }, (_, layer) => spelling(`base_model.model.layers.${layer}.${kind}`, shape[kind])).flat();
    const weights = new Weights("F32", 0.02, 7);
    writeSafetensors(join(path, "adapter_model.safetensors"), tensors, "F32", () => weights);
    writeJson(join(path, "adapter_config.json"), { target_modules: [kind], ...config });
  });

/** @param {number} rank @returns {Record<string, unknown>} */
const lora = (rank) => ({ peft_type: "LORA", r: rank, lora_alpha: rank, bias: "none" });

/** LoRA's factors; of a convolution, the kernels belong to A. @param {number} rank @returns {Spelling} */
const factors = (rank) => (path, [rows, cols, ...kernel]) => [
  { name: `${path}.lora_A.weight`, shape: [rank, cols, ...kernel] }, { name: `${path}.lora_B.weight`, shape: [rows, rank, ...kernel.map(() => 1)] },
];

const BLOCK = 32;

/**
 * Each method: its adapter, and the rank of the low-rank update with as many operations for each element.
 * @type {{ name: string, kind: Kind, like?: number, config: Record<string, unknown>, spelling: (shape: Shape) => Spelling }[]}
 */
const METHODS = [
  ...[1, 16, 32].map((rank) => ({ name: `LoRA, r=${rank}`, kind: /** @type {Kind} */ ("linear"), config: lora(rank), spelling: () => factors(rank) })),
  { name: "LoRA on a convolution, r=16", kind: "conv", like: 16, config: lora(16), spelling: () => factors(16) },
  {
    name: "LoRA on an embedding, r=16", kind: "tokens", like: 16, config: lora(16),
    spelling: () => (path, [rows, cols]) => [{ name: `${path}.lora_embedding_A`, shape: [16, rows] }, { name: `${path}.lora_embedding_B`, shape: [cols, 16] }],
  },
  {
    name: "DoRA, r=16", kind: "linear", like: 32, config: { ...lora(16), use_dora: true },
    spelling: () => (path, shape) => [...factors(16)(path, shape), { name: `${path}.lora_magnitude_vector`, shape: [shape[0]] }],
  },
  {
    name: "LoHa, r=8", kind: "linear", like: 16, config: { peft_type: "LOHA", r: 8, alpha: 8 },
    spelling: () => (path, [rows, cols]) =>
      ["w1", "w2"].flatMap((part) => [{ name: `${path}.hada_${part}_a`, shape: [rows, 8] }, { name: `${path}.hada_${part}_b`, shape: [8, cols] }]),
  },
  {
    name: "LoKr, two dense factors", kind: "linear", like: 1, config: { peft_type: "LOKR", r: 1024, alpha: 1024 },
    spelling: (shape) => (path, [rows, cols]) => {
      const part = shape === TOY ? 8 : 32;
      return [{ name: `${path}.lokr_w1`, shape: [part, part] }, { name: `${path}.lokr_w2`, shape: [rows / part, cols / part] }];
    },
  },
  {
    name: `OFT, blocks of ${BLOCK}`, kind: "linear", like: BLOCK, config: { peft_type: "OFT", oft_block_size: BLOCK, r: 0, use_cayley_neumann: true },
    spelling: () => (path, [, cols]) => [{ name: `${path}.oft_R.weight`, shape: [cols / BLOCK, (BLOCK * (BLOCK - 1)) / 2] }],
  },
  {
    name: "IA3", kind: "linear", like: 1, config: { peft_type: "IA3", feedforward_modules: [] },
    spelling: () => (path, [rows]) => [{ name: `${path}.ia3_l`, shape: [rows, 1] }],
  },
];

/** @param {{ toy: boolean, rounds?: number, say: (text: string) => void }} options @returns {Promise<Row[]>} */
export async function methodRows({ toy, rounds = toy ? 1 : 5, say }) {
  const shape = toy ? TOY : SHAPE;
  const { merge } = await import(pathToFileURL(join(packageFolder, "node.js")).href);
  const output = join(workFolder, "out-methods");
  mkdirSync(workFolder, { recursive: true });
  /** One thread, so that seconds are work. @param {(typeof METHODS)[number]} method */
  const run = ({ name, kind, config, spelling }) => {
    const from = base(shape, kind);
    const source = adapter(name.replaceAll(/\W+/g, "-"), shape, kind, config, spelling(shape));
    return async () => {
      await rm(output, { recursive: true, force: true });
      const before = process.cpuUsage();
      await merge({ base: from, adapters: [source], output, workers: 0 });
      const { user } = process.cpuUsage(before);
      await rm(output, { recursive: true, force: true });
      return { user: Math.max(user, 1) / 1e6 };
    };
  };
  const seen = await inTurn(Object.fromEntries(METHODS.map((method) => [method.name, run(method)])), rounds, { warm: !toy, say });
  const elements = shape.layers * shape.linear[0] * shape.linear[1];
  return METHODS.map(({ name, like }) => {
    const { user } = seen[name];
    const row = { part: "methods", what: name, figure: elements / user / 1e9, unit: "Gelem/s" };
    return like === undefined ? row : { ...row, ratio: user / seen[`LoRA, r=${like}`].user, of: `time of LoRA, r=${like}` };
  });
}
