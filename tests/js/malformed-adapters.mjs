// @ts-check
// Adapters that must be refused.
import { bytes, config, configText, copyFactors, header, headerText, tensors } from "./mutation.mjs";
import { CONFIGS, factor, Q, V } from "./tiny-model.mjs";

const FILE = "adapter_model.safetensors";
const CONFIG = "adapter_config.json";

/** A factor with one bad number. @param {"A" | "B"} half @param {number} value @param {number} at */
const spoiled = (half, value, at) => tensors("adapter", (all) => {
  const tensor = all[factor(Q, half)];
  tensor.values = Array.from(tensor.values ?? [], (number, i) => (i === at ? value : number));
});

/** Fields that change what is merged: each is refused by its name. @type {[string, unknown][]} */
const REFUSED = [
  ["init_lora_weights", "pissa_niter_16"], ["init_lora_weights", "loftq"],
  ["init_lora_weights", "corda"], ["init_lora_weights", "lora_ga"], ["use_qalora", true], ["kasa_config", { beta: 1 }], ["arrow_config", { top_k: 3 }], ["alora_invocation_tokens", [5]],
  ["field_of_tomorrow", 1], ["field_of_tomorrow", { on: true }],
];

/** @type {import("./mutation.mjs").Malformed[]} */
export const ADAPTERS = [
  { name: "an empty file", change: bytes("adapter", () => Buffer.alloc(0)), code: "truncated", says: [FILE] },
  { name: "half a header", change: bytes("adapter", (file) => file.subarray(0, 60)), code: "truncated", says: [FILE] },
  { name: "data cut off", change: bytes("adapter", (file) => file.subarray(0, -4)), code: "truncated", says: [FILE] },
  { name: "a header that is not JSON", change: headerText("adapter", (text) => text.slice(0, -1)), code: "bad-header", says: [FILE] },
  { name: "a hole", change: header("adapter", (h) => void delete h[factor(Q, "B")]), code: "bad-header", says: [FILE, "hole"] },
  { name: "no weights", change: ({ adapter }) => void delete adapter[FILE], code: "wrong-input", says: ["adapter_model.safetensors"] },
  { name: "safetensors under the name of a pickle", change: ({ adapter }) => { adapter["adapter_model.bin"] = adapter[FILE]; delete adapter[FILE]; }, code: "wrong-input", says: ["adapter_model.bin", "this is a safetensors file"] },
  { name: "no configuration", change: ({ adapter }) => void delete adapter[CONFIG], code: "bad-config", says: [CONFIG] },
  { name: "an empty configuration", change: configText(""), code: "bad-config", says: [CONFIG] },
  { name: "a configuration that is not JSON", change: configText("peft_type: LORA"), code: "bad-config", says: [CONFIG] },
  { name: "a configuration that is an array", change: configText("[]"), code: "bad-config", says: [CONFIG] },
  { name: "a field twice", change: configText('{"peft_type":"LORA","r":2,"r":4}'), code: "bad-config", says: [CONFIG, "\"r\"", "twice"] },
  { name: "no peft_type", change: config({ peft_type: undefined }), code: "bad-config", says: [CONFIG, "peft_type"] },
  { name: "peft_type X-LoRA", change: config({ peft_type: "XLORA" }), code: "unsupported", says: [CONFIG, "peft_type", "X-LoRA"] },
  { name: "peft_type of tomorrow", change: config({ peft_type: "TOMORROW" }), code: "unsupported", says: [CONFIG, "peft_type", "TOMORROW"] },
  { name: "the configuration of LoHa on factors of LoRA", change: config({ peft_type: "LOHA" }), code: "unsupported", says: [CONFIG, "lora_alpha"] },
  { name: "a bias that no one has heard of", change: config({ bias: "some" }), code: "bad-config", says: [CONFIG, "bias"] },
  { name: "a saved module that the file lacks", change: config({ modules_to_save: ["lm_head"] }), code: "bad-config", says: [CONFIG, "modules_to_save", "lm_head"] },
  { name: "trained tokens that are no numbers", change: config({ trainable_token_indices: ["one"] }), code: "bad-config", says: [CONFIG, "trainable_token_indices"] },
  { name: "peft_type that is a number", change: config({ peft_type: 1 }), code: "bad-config", says: [CONFIG, "peft_type"] },
  { name: "r 0", change: config({ r: 0 }), code: "bad-config", says: [CONFIG, "r is 0"] },
  { name: "r as text", change: config({ r: "2" }), code: "bad-config", says: [CONFIG, "r is"] },
  { name: "r with a fraction", change: config({ r: 2.5 }), code: "bad-config", says: [CONFIG, "r is 2.5"] },
  { name: "r that is not the factors' rank", change: config({ r: 3 }), code: "shape-mismatch", says: ["rank is 2", "3"] },
  { name: "r left out, where the rank is not the default", change: config({ r: undefined }), code: "shape-mismatch", says: ["rank is 2", "8"] },
  { name: "alpha NaN", change: configText(JSON.stringify(CONFIGS.adapter).replace('"lora_alpha":4', '"lora_alpha":NaN')), code: "bad-config", says: [CONFIG] },
  { name: "alpha beyond float64", change: configText(JSON.stringify(CONFIGS.adapter).replace('"lora_alpha":4', '"lora_alpha":1e999')), code: "bad-config", says: [CONFIG] },
  { name: "alpha as text", change: config({ lora_alpha: "x" }), code: "bad-config", says: [CONFIG, "lora_alpha"] },
  { name: "use_rslora as text", change: config({ use_rslora: "yes" }), code: "bad-config", says: [CONFIG, "use_rslora"] },
  ...REFUSED.map(([field, value]) => ({ name: `${field}: ${JSON.stringify(value)}`, change: config({ [field]: value }), code: "unsupported", says: [CONFIG, field] })),
  { name: "rank_pattern that matches nothing", change: config({ rank_pattern: { k_proj: 2 } }), code: "bad-config", says: ["rank_pattern", "k_proj"] },
  { name: "alpha_pattern that matches nothing", change: config({ alpha_pattern: { "^q_proj": 2 } }), code: "bad-config", says: ["alpha_pattern", "^q_proj"] },
  { name: "rank_pattern with a rank that is not the factors'", change: config({ rank_pattern: { q_proj: 4 } }), code: "shape-mismatch", says: [Q, "rank is 2", "4"] },
  { name: "rank_pattern that is a list", change: config({ rank_pattern: ["q_proj"] }), code: "bad-config", says: [CONFIG, "rank_pattern"] },
  { name: "rank_pattern with rank 0", change: config({ rank_pattern: { q_proj: 0 } }), code: "bad-config", says: [CONFIG, "rank_pattern.q_proj"] },
  { name: "alpha_pattern with text", change: config({ alpha_pattern: { q_proj: "4" } }), code: "bad-config", says: [CONFIG, "alpha_pattern.q_proj"] },
  { name: "a pattern that is no regular expression", change: config({ rank_pattern: { "q_proj(": 2 } }), code: "unsupported", says: [CONFIG, "rank_pattern", "q_proj("] },
  { name: "half A missing", change: tensors("adapter", (all) => void delete all[factor(Q, "A")]), code: "missing-pair", says: [factor(Q, "A"), factor(Q, "B")] },
  { name: "half B missing", change: tensors("adapter", (all) => void delete all[factor(V, "B")]), code: "missing-pair", says: [factor(V, "A"), factor(V, "B")] },
  { name: "no factors at all", change: tensors("adapter", (all) => Object.keys(all).forEach((name) => delete all[name])), code: "wrong-input", says: [FILE] },
  { name: "halves of two adapters", change: tensors("adapter", (all) => { for (const [half, name] of /** @type {const} */ ([["A", "first"], ["B", "second"]])) { all[factor(Q, half).replace(".weight", `.${name}.weight`)] = all[factor(Q, half)]; delete all[factor(Q, half)]; } }), code: "wrong-input", says: ["several adapters: first, second"] },
  { name: "a factor twice in two spellings", change: tensors("adapter", (all) => void (all[`${Q}.lora_A.weight`] = all[factor(Q, "A")])), code: "bad-header", says: [FILE, "same factor"] },
  { name: "a module twice, once without the prefix of the body", change: tensors("adapter", (all) => copyFactors(all, "layers.0.self_attn.q_proj")), code: "bad-header", says: [factor(Q, "A"), factor("layers.0.self_attn.q_proj", "A")] },
  { name: "other inputs", change: tensors("adapter", (all) => void (all[factor(Q, "A")] = { dtype: "F32", shape: [2, 3], values: Array(6).fill(1) })), code: "shape-mismatch", says: [`${Q}.weight`, "[5, 3]"] },
  { name: "other outputs", change: tensors("adapter", (all) => void (all[factor(Q, "B")] = { dtype: "F32", shape: [6, 2], values: Array(12).fill(1) })), code: "shape-mismatch", says: [`${Q}.weight`, "[6, 4]"] },
  { name: "ranks that differ", change: tensors("adapter", (all) => void (all[factor(Q, "B")] = { dtype: "F32", shape: [5, 3], values: Array(15).fill(1) })), code: "shape-mismatch", says: [factor(Q, "B"), "rank"] },
  { name: "rank 0", change: tensors("adapter", (all) => { all[factor(Q, "A")] = { dtype: "F32", shape: [0, 4], values: [] }; all[factor(Q, "B")] = { dtype: "F32", shape: [5, 0], values: [] }; }), code: "shape-mismatch", says: [Q] },
  { name: "factors of a convolution", change: tensors("adapter", (all) => void (all[factor(Q, "A")].shape = [2, 4, 1])), code: "shape-mismatch", says: [factor(Q, "A"), "[2, 4, 1]"] },
  { name: "factors of integers", change: tensors("adapter", (all) => void (all[factor(Q, "A")] = { dtype: "I8", shape: [2, 4], bytes: Buffer.alloc(8) })), code: "unsupported", says: [factor(Q, "A"), "I8"] },
  { name: "a module that the base does not have", change: tensors("adapter", (all) => copyFactors(all, "model.layers.7.self_attn.q_proj")), code: "unmatched-key", says: ["model.layers.7.self_attn.q_proj"] },
  { name: "lm_head of a tied base", change: tensors("adapter", (all) => copyFactors(all, "lm_head")), code: "unmatched-key", says: ["lm_head"] },
  { name: "a base weight without factors", change: tensors("adapter", (all) => void (all["base_model.model.lm_head.base_layer.weight"] = { dtype: "F32", shape: [2, 2], values: [1, 2, 3, 4] })), code: "unmatched-key", says: ["lm_head"] },
  { name: "LoRA on the embedding", change: tensors("adapter", (all) => void (all["base_model.model.model.embed_tokens.lora_embedding_A"] = { dtype: "F32", shape: [2, 6], values: Array(12).fill(1) })), code: "missing-pair", says: ["lora_embedding_A"] },
  { name: "DoRA of which a magnitude is missing", change: (model) => {
    tensors("adapter", (all) => void (all[`base_model.model.${Q}.lora_magnitude_vector`] = { dtype: "F32", shape: [5], values: Array(5).fill(1) }))(model);
    config({ use_dora: true })(model);
  }, code: "missing-pair", says: ["lora_magnitude_vector"] },
  { name: "BD-LoRA", change: (model) => {
    tensors("adapter", (all) => void (all[factor(Q, "A")] = { dtype: "F32", shape: [2, 2], values: [1, 2, 3, 4] }))(model);
    config({ use_bdlora: { target_modules_bd_a: ["q_proj"], nblocks: 2 } })(model);
  }, code: "bad-config", says: [CONFIG, "use_bdlora"] },
  { name: "a DoRA magnitude", change: tensors("adapter", (all) => void (all[`base_model.model.${Q}.lora_magnitude_vector.weight`] = { dtype: "F32", shape: [5], values: Array(5).fill(1) })), code: "bad-config", says: ["lora_magnitude_vector", "use_dora"] },
  { name: "a bias of lora_B", change: tensors("adapter", (all) => void (all[`base_model.model.${Q}.lora_B.bias`] = { dtype: "F32", shape: [5], values: Array(5).fill(1) })), code: "unmatched-key", says: ["lora_B.bias"] },
  { name: "a saved module", change: tensors("adapter", (all) => void (all["base_model.model.lm_head.weight"] = { dtype: "F32", shape: [2, 2], values: [1, 2, 3, 4] })), code: "unmatched-key", says: ["lm_head.weight"] },
  { name: "NaN in A", change: spoiled("A", NaN, 3), code: "non-finite", says: [factor(Q, "A"), "element 3"] },
  { name: "infinity in A", change: spoiled("A", Infinity, 7), code: "non-finite", says: [factor(Q, "A"), "element 7"] },
  { name: "NaN in B", change: spoiled("B", NaN, 0), code: "non-finite", says: [factor(Q, "B"), "element 0"] },
  { name: "minus infinity in B", change: spoiled("B", -Infinity, 9), code: "non-finite", says: [factor(Q, "B"), "element 9"] },
];
