// @ts-check
// What people have, by the functions and on the command line: both do the same with each of these folders, and say the same.
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { merge, plan } from "../../pkg/node.js";
import { lorafold } from "./command.mjs";
import { buildSafetensors, readModel, valuesOf } from "./safetensors-file.mjs";
import { scratch } from "./scratch.mjs";
import { CONFIGS, factor, Q, tinyModel, V } from "./tiny-model.mjs";

/**
 * @typedef {{ base: Record<string, Uint8Array | string>, adapter: Record<string, Uint8Array | string> }} Folders files by their paths
 * @typedef {object} Expected
 * @property {string} [code] of the error; without one it merges
 * @property {string} [kind]
 * @property {RegExp} [says] in the error or in a finding
 * @property {number} [merged] tensors that are merged
 * @property {string} [finding] the code of a finding
 */

const weights = "model.safetensors";
const factors = "adapter_model.safetensors";
const config = "adapter_config.json";

/** A tensor of F32 with small numbers. @param {number[]} shape @returns {import("./safetensors-file.mjs").NewTensor} */
const tensor = (shape) => ({ dtype: "F32", shape, values: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => ((i * 7) % 11) / 16 - 0.3) });

/** A base of square weights with these names. @param {string[]} names @param {Record<string, unknown>} [more] */
const squares = (names, more = { model_type: "x" }) => ({
  "config.json": JSON.stringify(more),
  [weights]: buildSafetensors(Object.fromEntries(names.map((name) => [name, tensor([4, 4])]))),
});

/** An adapter of these modules. @param {string[]} modules @param {Record<string, unknown>} [more] */
const pairs = (modules, more = {}) => ({
  [config]: JSON.stringify({ ...CONFIGS.adapter, target_modules: [...new Set(modules.map((module) => module.split(".").pop()))], ...more }),
  [factors]: buildSafetensors(Object.fromEntries(modules.flatMap((module) => [[factor(module, "A"), tensor([2, 4])], [factor(module, "B"), tensor([4, 2])]]))),
});

/** The tiny model, changed. @param {(model: Folders) => void} change @returns {() => Folders} */
const tiny = (change) => () => {
  const model = /** @type {Folders} */ (tinyModel());
  change(model);
  return model;
};

/** Every file in a folder of its own. @param {Record<string, Uint8Array | string>} files @param {string} folder */
const moved = (files, folder) => Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`${folder}/${name}`, bytes]));

/** With this adapter_config.json. @param {unknown} value */
const configured = (value) => tiny(({ adapter }) => void (adapter[config] = JSON.stringify(value)));

const POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

/** @type {[how: string, folders: () => Folders, expected: Expected][]} */
const CASES = [
  ["an adapter of AdapterHub", configured({ config: { reduction_factor: 16 }, hidden_size: 8, model_class: "BertAdapterModel", name: "task", version: "adapters.1.0.1" }), { code: "unsupported", says: /AdapterHub/ }],
  ["an adapter of MLX", tiny((model) => {
    const { [factors]: file = "" } = model.adapter;
    model.adapter = { "adapters.safetensors": file, [config]: JSON.stringify({ fine_tune_type: "lora", lora_parameters: { rank: 8, scale: 20 }, model: "org/base" }) };
  }), { code: "unsupported", says: /MLX.*mlx_lm\.fuse/ }],
  ["a base of .bin that is no file of torch", tiny(({ base }) => {
    delete base[weights];
    base["pytorch_model.bin"] = "x";
  }), { code: "wrong-input", says: /base\/pytorch_model\.bin/ }],
  ["adapter_config.json given for its folder", tiny(() => {}), { merged: 2 }],
  ["keys as pipelines of diffusers write them", () => {
    const module = "down_blocks.0.attentions.0.to_q";
    const file = buildSafetensors({ [`unet.${module}.lora_A.weight`]: tensor([2, 4]), [`unet.${module}.lora_B.weight`]: tensor([4, 2]) });
    return { base: squares([`${module}.weight`, "conv_in.weight"], { _class_name: "UNet2DConditionModel" }), adapter: { [config]: JSON.stringify({ ...CONFIGS.adapter, target_modules: ["to_q"] }), "pytorch_lora_weights.safetensors": file } };
  }, { merged: 1 }],
  ["the old spelling of diffusers", () => {
    const module = "down_blocks.0.attentions.0.to_q";
    const file = buildSafetensors({ [`unet.${module}.lora.down.weight`]: tensor([2, 4]), [`unet.${module}.lora.up.weight`]: tensor([4, 2]) });
    return { base: squares([`${module}.weight`], { _class_name: "UNet2DConditionModel" }), adapter: { [config]: JSON.stringify({ ...CONFIGS.adapter, target_modules: ["to_q"] }), "pytorch_lora_weights.safetensors": file } };
  }, { code: "unsupported", says: /lora\.down/ }],
  ["variants of diffusers side by side", () => {
    const { [weights]: file, ...base } = squares(["q_proj.weight"], { _class_name: "UNet2DConditionModel" });
    return { base: { ...base, "diffusion_pytorch_model.safetensors": file, "diffusion_pytorch_model.fp16.safetensors": file }, adapter: pairs(["q_proj"]) };
  }, { merged: 1, finding: "other-weights", says: /not diffusion_pytorch_model\.fp16\.safetensors/ }],
  ["an index of shards that stay behind", tiny(({ base }) => {
    const { [weights]: file = "" } = base;
    Object.assign(base, { "model.fp32-00001-of-00001.safetensors": file, "model.safetensors.index.fp32.json": JSON.stringify({ weight_map: { "model.norm.weight": "model.fp32-00001-of-00001.safetensors" } }) });
  }), { merged: 2, finding: "left-behind", says: /model\.safetensors\.index\.fp32\.json/ }],
  ["two shards whose names differ in case alone", () => {
    const [one, two] = [squares(["layers.0.q_proj.weight"]), squares(["layers.1.q_proj.weight"])];
    const map = { "layers.0.q_proj.weight": "weights.dat", "layers.1.q_proj.weight": "WEIGHTS.DAT" };
    return { base: { "config.json": "{}", "weights.dat": one[weights] ?? "", "WEIGHTS.DAT": two[weights] ?? "", "model.safetensors.index.json": JSON.stringify({ weight_map: map }) }, adapter: pairs(["layers.0.q_proj"]) };
  }, { code: "wrong-input", says: /two files of the output would be called weights\.dat/ }],
  ["a GPTQ base", () => {
    const packed = buildSafetensors({ [`${Q}.qweight`]: { dtype: "I32", shape: [1, 4], bytes: Buffer.alloc(16) }, "model.norm.weight": tensor([4]) });
    return { base: { "config.json": JSON.stringify({ ...CONFIGS.base, quantization_config: { quant_method: "gptq", bits: 4 } }), [weights]: packed }, adapter: pairs([Q]) };
  }, { code: "unmatched-key", kind: "quantised-base", says: /quantised \(gptq\)/ }],
  ...[["", "vision."], ["model.", "model.vision."], ["model.", "model.draft."]].map(([own, other]) => /** @type {(typeof CASES)[number]} */ ([
    `a layer that ${own || "the top"} lacks and ${other} has`,
    () => ({ base: squares([`${own}layers.0.q_proj.weight`, ...[0, 1].map((layer) => `${other}layers.${layer}.q_proj.weight`)]), adapter: pairs([0, 1].map((layer) => `${own}layers.${layer}.q_proj`)) }),
    { code: "unmatched-key", says: /layers\.1\.q_proj/ },
  ])),
  ["a pointer of Git LFS as adapter", tiny(({ adapter }) => void (adapter[factors] = POINTER)), { code: "wrong-input", kind: "lfs-pointer", says: /git lfs pull/ }],
  ["a pointer of Git LFS as base", tiny(({ base }) => void (base[weights] = POINTER)), { code: "wrong-input", kind: "lfs-pointer", says: /git lfs pull/ }],
  ["one file without a configuration", tiny(({ adapter }) => delete adapter[config]), { code: "bad-config", kind: "no-config", says: /alpha/ }],
  ["a trainer's folder with checkpoints", tiny((model) => {
    model.adapter = { "trainer_state.json": "{}", ...moved(model.adapter, "checkpoint-500"), ...moved(model.adapter, "checkpoint-1000") };
  }), { code: "wrong-input", says: /give one of them: adapter\/checkpoint-1000$/m }],
  ["the root of a pipeline", tiny((model) => {
    model.base = { "model_index.json": "{}", ...moved(model.base, "unet"), ...moved(model.base, "vae") };
  }), { code: "wrong-input", says: /base\/unet/ }],
  ["the root of a cache", tiny((model) => {
    model.base = { "refs/main": "a", "blobs/b": "b", ...moved(model.base, "snapshots/abc") };
  }), { code: "wrong-input", says: /base\/snapshots/ }],
  ["a shell of ZeRO-3", tiny(({ adapter }) => void (adapter[factors] = buildSafetensors({ [factor(Q, "A")]: { dtype: "F32", shape: [0], values: [] } }))), { code: "wrong-input", says: /ZeRO-3/ }],
  ["200 modules and 200 patterns that backtrack", () => {
    const names = Array.from({ length: 200 }, (_, i) => `${"a".repeat(40)}${i}.q_proj`);
    const alphas = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`(?:a|a)*c|${i}`, 1]));
    return { base: squares(names.map((name) => `${name}.weight`)), adapter: pairs(names, { alpha_pattern: alphas }) };
  }, { code: "limit-exceeded", says: /takes too many steps/ }],
  ...["PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT", "CPT", "POLY", "XLORA", "LILY", "TINYLORA", "PSOFT", "OSF", "SOMETHING_NEW"].map((type) => /** @type {(typeof CASES)[number]} */ ([
    `peft_type ${type}`,
    // Its hyperparameters are nobody's, and are not what is wrong.
    configured({ peft_type: type, num_virtual_tokens: 20, r: "eight", encoder_hidden_size: 8, target_modules: [], zzz: 1 }),
    { code: "unsupported", says: /^(?!.*(num_virtual_tokens|encoder_hidden_size|zzz|\beight\b)).*peft_type/m },
  ])),
  ["names that transformers 5 has in memory", () => ({
    base: squares(["query", "key", "value"].map((name) => `vit.encoder.layer.0.attention.attention.${name}.weight`), { model_type: "vit" }),
    adapter: pairs(["vit.layers.0.attention.q_proj", "vit.layers.0.attention.v_proj"]),
  }), { merged: 2, finding: "modules-renamed" }],
  ["an adapter of another base", tiny((model) => {
    model.adapter = { ...pairs([Q.replace("self_attn", "attention")], { base_model_name_or_path: "org/other" }) };
  }), { code: "unmatched-key", says: /org\/other/ }],
  ["an adapter of another size of base", tiny(({ adapter }) => {
    adapter[config] = JSON.stringify({ ...CONFIGS.adapter, base_model_name_or_path: "org/larger" });
    adapter[factors] = buildSafetensors({ [factor(V, "A")]: tensor([2, 8]), [factor(V, "B")]: tensor([6, 2]) });
  }), { code: "shape-mismatch", says: /org\/larger/ }],
];

/** @param {string} folder @param {Record<string, Uint8Array | string>} files */
async function write(folder, files) {
  for (const [name, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
  return folder;
}

describe("people have", { concurrency: 2 }, () => {
  for (const [how, folders, expected] of CASES) {
    test(how, async (t) => {
      const files = folders();
      const folder = await scratch(t);
      const base = await write(join(folder, "base"), files.base);
      const written = await write(join(folder, "adapter"), files.adapter);
      const adapter = how.startsWith(config) ? join(written, config) : written;

      const report = await plan({ base, adapters: [adapter] }).catch((/** @type {any} */ error) => ({ error }));
      const { code, stdout } = await lorafold(["merge", "--base", base, "--adapter", adapter, "--dry-run", "--json"]);
      const printed = JSON.parse(stdout);
      const error = "error" in report ? report.error : undefined;
      assert.equal(error?.code, expected.code, String(error?.stack));
      assert.equal(code, error === undefined ? 0 : 1);
      const findings = "error" in report ? [] : report.findings;
      const said = error === undefined ? findings.map(({ message }) => message).join("\n") : error.message;
      if (expected.says !== undefined) assert.match(said, expected.says);
      if ("error" in report) {
        assert.equal(error.facts.kind, expected.kind ?? error.facts.kind);
        // The command line names its own flags where the function names options.
        assert.deepEqual([printed.error.code, printed.error.facts.kind], [error.code, error.facts.kind]);
        if (expected.says !== undefined) assert.match(printed.error.message, expected.says);
      } else {
        assert.equal(report.merged, expected.merged);
        assert.deepEqual([printed.merged, printed.findings], [report.merged, JSON.parse(JSON.stringify(findings))]);
        if (expected.finding !== undefined) assert.ok(findings.some((finding) => finding.code === expected.finding), JSON.stringify(findings));
      }
    });
  }
});

test("a weight beyond float32 whose delta is not is the delta", async (t) => {
  const folder = await scratch(t);
  const base = await write(join(folder, "base"), { "config.json": "{}", [weights]: buildSafetensors({ "q_proj.weight": { dtype: "F32", shape: [2, 2], values: [0, 0, 0, 0] } }) });
  // At weight 1e-36, weight · scale · B is 1e-46, which is 0 in float32; the delta is 1e-16 and more. At 1e-20 it is 1 and more.
  const rows = [[1e30, 2e30], [1e-10, 3e-10]];
  const adapter = await write(join(folder, "adapter"), {
    [config]: JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1, target_modules: ["q_proj"] }),
    [factors]: buildSafetensors({ [factor("q_proj", "A")]: { dtype: "F32", shape: [1, 2], values: rows[0] }, [factor("q_proj", "B")]: { dtype: "F32", shape: [2, 1], values: rows[1] } }),
  });
  const [a = [], b = []] = rows.map((row) => row.map(Math.fround));
  for (const weight of [1e-36, 1e-20, -1e-36]) {
    const out = join(folder, `out${weight}`);
    await merge({ base, adapters: [{ source: adapter, weight }], output: out });
    const values = valuesOf(readModel(out).get("q_proj.weight") ?? assert.fail("it is gone"));
    [0, 1, 2, 3].forEach((i) => {
      const wanted = weight * (a[i % 2] ?? NaN) * (b[i >> 1] ?? NaN);
      assert.ok(Math.abs((values[i] ?? NaN) - wanted) <= 2e-7 * Math.abs(wanted), `${weight}: ${values[i]} for ${wanted}`);
    });
  }
});
