// @ts-check
// A model of which DoRA changes a linear layer, whose outputs are rows, and a Conv1D, whose outputs are columns: large enough for several blocks, and
// for several jobs that gather the norms of its columns.
import { join } from "node:path";
import { random } from "./numbers.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";
import { writeFolder } from "./scratch.mjs";

/** @typedef {import("./safetensors-file.mjs").NewTensor} NewTensor */

const OUTPUTS = 700;
const INPUTS = 1100;
const MODULES = [{ module: "model.layers.0.self_attn.q_proj", shape: [OUTPUTS, INPUTS] }, { module: "model.layers.0.mlp.c_fc", shape: [INPUTS, OUTPUTS] }];

/** @param {string} folder */
export async function doraModel(folder) {
  const next = random(21);
  const values = (/** @type {number} */ count, size = 1, from = 0) => Array.from({ length: count }, () => from + (next() * 2 - 1) * size);
  const weights = MODULES.map(({ module, shape }) => [`${module}.weight`, { dtype: "BF16", shape, values: values(OUTPUTS * INPUTS) }]);
  const norm = { dtype: "F32", shape: [INPUTS], values: values(INPUTS) };
  const base = await writeFolder(join(folder, "base"), {
    "config.json": "{}", "model.safetensors": buildSafetensors({ ...Object.fromEntries(weights), "model.norm.weight": norm }),
  });
  const adapter = (/** @type {string} */ name, /** @type {number} */ r, /** @type {boolean} */ dora) => {
    /** @type {Record<string, NewTensor>} */
    const tensors = {};
    for (const { module } of MODULES) {
      const key = `base_model.model.${module}`;
      tensors[`${key}.lora_A.weight`] = { dtype: "F32", shape: [r, INPUTS], values: values(r * INPUTS, 0.1) };
      tensors[`${key}.lora_B.weight`] = { dtype: "F32", shape: [OUTPUTS, r], values: values(r * OUTPUTS, 0.1) };
      if (dora) tensors[`${key}.lora_magnitude_vector`] = { dtype: "F32", shape: [OUTPUTS], values: values(OUTPUTS, 5, 20) };
    }
    const config = JSON.stringify({ peft_type: "LORA", r, lora_alpha: r, use_dora: dora });
    return writeFolder(join(folder, name), { "adapter_config.json": config, "adapter_model.safetensors": buildSafetensors(tensors) });
  };
  return { base, one: await adapter("one", 5, true), plain: await adapter("plain", 3, false), other: await adapter("other", 2, true) };
}
