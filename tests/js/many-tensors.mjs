// @ts-check
// A base of very many small tensors, all zeros, and an adapter that changes a few of them.
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildSafetensors } from "./safetensors-file.mjs";
import { writeFolder } from "./scratch.mjs";
import { CONFIGS, factor } from "./tiny-model.mjs";

/** Sides of every tensor. */
const SIDE = 2;
const BYTES = 2 * SIDE * SIDE;
/** Modules of a layer. */
const EXPERTS = 10_000;

/** @param {number} number */
const moduleOf = (number) => `model.language_model.layers.${Math.floor(number / EXPERTS)}.mlp.experts.${number}.down_proj`;

/**
 * @param {string} folder
 * @param {{ tensors: number, changed: number }} counts
 */
export async function manyTensors(folder, { tensors, changed }) {
  const [base, adapter] = [join(folder, "base"), join(folder, "adapter")];
  const entry = (/** @type {number} */ number) =>
    `"${moduleOf(number)}.weight":{"dtype":"BF16","shape":[${SIDE},${SIDE}],"data_offsets":[${number * BYTES},${(number + 1) * BYTES}]}`;
  const json = Buffer.from(`{${Array.from({ length: tensors }, (_, number) => entry(number)).join(",")}}`);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  await mkdir(base, { recursive: true });
  const file = await open(join(base, "model.safetensors"), "w");
  await file.writeFile(length);
  await file.writeFile(json);
  await file.truncate(8 + json.length + tensors * BYTES);
  await file.close();
  await writeFile(join(base, "config.json"), "{}");
  const factors = Array.from({ length: changed }, (_, number) => [
    [factor(moduleOf(number), "A"), { dtype: "F32", shape: [1, SIDE], values: [1, 0.5] }],
    [factor(moduleOf(number), "B"), { dtype: "F32", shape: [SIDE, 1], values: [1, 2] }],
  ]);
  await writeFolder(adapter, {
    "adapter_model.safetensors": buildSafetensors(Object.fromEntries(factors.flat())),
    "adapter_config.json": JSON.stringify({ ...CONFIGS.adapter, r: 1, target_modules: ["down_proj"] }),
  });
  return { base, adapter, headerBytes: json.length };
}
