// @ts-check
// Ways to break a tiny model, one at a time.
import { assemble, buildSafetensors, parseSafetensors } from "./safetensors-file.mjs";
import { CONFIGS, factor, Q, TENSORS } from "./tiny-model.mjs";

/**
 * @typedef {import("./tiny-model.mjs").Model} Model
 * @typedef {import("./tiny-model.mjs").NewTensor} NewTensor
 * @typedef {object} Malformed
 * @property {string} name
 * @property {(model: Model) => void} [change]
 * @property {string[]} [args] more arguments of `lorafold merge`
 * @property {number} [exit] its exit status, where it is not 2 of usage errors (those without a code) and 1 of all others
 * @property {(paths: { base: string, adapter: string, out: string }) => string[]} [command] all arguments, where they are not the usual ones
 * @property {string} [code] the stable code; none for wrong usage
 * @property {string[]} says what the message must name
 */

/** Break the bytes of a file. @param {"base" | "adapter"} which @param {(bytes: Buffer) => Uint8Array} change */
export const bytes = (which, change) => (/** @type {Model} */ model) => {
  const file = which === "base" ? "model.safetensors" : "adapter_model.safetensors";
  model[which][file] = Buffer.from(change(Buffer.from(model[which][file])));
};

/** Break the header of a file as a JSON value; the data stay. @param {"base" | "adapter"} which @param {(header: any) => unknown} change */
export const header = (which, change) => bytes(which, (file) => {
  const length = Number(file.readBigUInt64LE(0));
  const value = JSON.parse(file.toString("utf8", 8, 8 + length));
  return assemble(change(value) ?? value, [file.subarray(8 + length)]);
});

/** Break the header's text. @param {"base" | "adapter"} which @param {(text: string) => string} change */
export const headerText = (which, change) => bytes(which, (file) => {
  const length = Number(file.readBigUInt64LE(0));
  return assemble(change(file.toString("utf8", 8, 8 + length)), [file.subarray(8 + length)]);
});

/** Write a well-formed file with other tensors. @param {"base" | "adapter"} which @param {(tensors: Record<string, NewTensor>) => void} change */
export const tensors = (which, change) => (/** @type {Model} */ model) => {
  const copy = Object.fromEntries(Object.entries(TENSORS[which]).map(([name, tensor]) => [name, { ...tensor }]));
  change(copy);
  model[which][which === "base" ? "model.safetensors" : "adapter_model.safetensors"] = buildSafetensors(copy);
};

/** Give the factors of {@link Q} to another module, too. @param {Record<string, NewTensor>} all @param {string} module */
export function copyFactors(all, module) {
  for (const half of /** @type {const} */ (["A", "B"])) all[factor(module, half)] = all[factor(Q, half)];
}

/** Change fields of adapter_config.json; `undefined` removes one. @param {Record<string, unknown>} fields */
export const config = (fields) => (/** @type {Model} */ model) => {
  model.adapter["adapter_config.json"] = Buffer.from(JSON.stringify({ ...CONFIGS.adapter, ...fields }));
};

/** Replace the text of adapter_config.json. @param {string} text */
export const configText = (text) => (/** @type {Model} */ model) => {
  model.adapter["adapter_config.json"] = Buffer.from(text);
};

/** Split the base into two shards with an index, and then break that.
 * @param {(files: Record<string, Buffer>, map: Record<string, string>) => void} change the index is written after it, unless it is there already */
export const sharded = (change) => (/** @type {Model} */ model) => {
  const all = parseSafetensors(model.base["model.safetensors"]).tensors;
  delete model.base["model.safetensors"];
  const names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  /** @type {Record<string, string>} */
  const map = {};
  for (const [i, name] of names.entries()) {
    const half = [...all].filter((_, number) => number % 2 === i);
    model.base[name] = buildSafetensors(Object.fromEntries(half));
    for (const [tensor] of half) map[tensor] = name;
  }
  change(model.base, map);
  model.base["model.safetensors.index.json"] ??= Buffer.from(JSON.stringify({ metadata: {}, weight_map: map }));
};
