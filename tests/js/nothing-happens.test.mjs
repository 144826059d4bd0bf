// @ts-check
// Adapters that change nothing, or less than they say: it is said before a weight of the base is read.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { plan } from "../../pkg/node.js";
import { lorafold } from "./command.mjs";
import { config, tensors } from "./mutation.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";
import { scratch, writeFolder } from "./scratch.mjs";
import { asFiles, CONFIGS, factor, Q, tinyModel, V } from "./tiny-model.mjs";

/** @typedef {import("../../pkg/node.js").Finding} Finding */

/** The codes of a plan's findings. @param {readonly Finding[]} findings */
const codes = (findings) => findings.map(({ level, code }) => `${level} ${code}`);

/** Makes factors zero. @param {...string} keys */
const zero = (...keys) => tensors("adapter", (all) => {
  for (const key of keys) all[key] = { ...all[key], values: Array.from(all[key].values ?? [], () => 0) };
});

/** @param {(model: import("./tiny-model.mjs").Model) => void} change */
function changed(change) {
  const model = tinyModel();
  change(model);
  return model;
}

const UNTRAINED = changed(zero(factor(Q, "B"), factor(V, "B")));

describe("factors of zeros are told:", () => {
  test("of a whole adapter, loudly", async (t) => {
    const folder = await scratch(t);
    const base = await writeFolder(join(folder, "base"), UNTRAINED.base);
    const adapter = await writeFolder(join(folder, "adapter"), UNTRAINED.adapter);
    const { base: files, adapter: trained } = tinyModel();
    const source = (/** @type {import("./tiny-model.mjs").Files} */ files) => ({
      list: async () => Object.entries(files).map(([name, { length }]) => ({ name, size: length })),
      read: async (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => new Uint8Array(files[name].subarray(start, end)),
    });
    for (const given of [adapter, asFiles(UNTRAINED.adapter), source(UNTRAINED.adapter)]) {
      const { findings } = await plan({ base, adapters: [{ source: given, name: "mine" }] });
      assert.deepEqual(codes(findings), ["warning zero-adapter", "warning output-is-base"]);
      assert.equal(findings[0]?.adapter, "mine");
    }
    // Beside one that was trained, the output is not the base.
    const { findings } = await plan({ base: asFiles(files), adapters: [adapter, asFiles(trained)] });
    assert.deepEqual(codes(findings), ["warning zero-adapter"]);
    const { stdout, code } = await lorafold(["merge", "-b", base, "-a", adapter, "-o", join(folder, "out")]);
    assert.equal(code, 0);
    assert.match(stdout, /^warning \[output-is-base\]: nothing changes/m);
  });

  test("of one module", async () => {
    for (const half of /** @type {const} */ (["A", "B"])) {
      const { base, adapter } = changed(zero(factor(V, half)));
      const { findings } = await plan({ base: asFiles(base), adapters: [asFiles(adapter)] });
      assert.deepEqual(codes(findings), ["info zero-delta"]);
      assert.equal(findings[0]?.tensor, `${V}.weight`);
    }
  });

  test("where lorafold itself hashes the file", async (t) => {
    const own = /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(globalThis, "crypto"));
    Object.defineProperty(globalThis, "crypto", { value: {}, configurable: true });
    t.after(() => Object.defineProperty(globalThis, "crypto", own));
    const { base, adapter } = changed(zero(factor(V, "B")));
    assert.deepEqual(codes((await plan({ base: asFiles(base), adapters: [asFiles(adapter)] })).findings), ["info zero-delta"]);
    assert.deepEqual(codes((await plan({ base: asFiles(base), adapters: [asFiles(UNTRAINED.adapter)] })).findings), ["warning zero-adapter", "warning output-is-base"]);
  });

  test("not where a single value is none", async () => {
    const { base, adapter } = changed(tensors("adapter", (all) => {
      const values = Array.from(all[factor(V, "B")].values ?? [], () => 0);
      all[factor(V, "B")].values = [...values.slice(1), 1e-30];
    }));
    assert.deepEqual((await plan({ base: asFiles(base), adapters: [asFiles(adapter)] })).findings, []);
  });
});

test("a weight of 0 is told, and that nothing changes", async () => {
  const { base, adapter } = tinyModel();
  const sources = [{ source: asFiles(adapter), weight: 0, name: "off" }];
  assert.deepEqual(codes((await plan({ base: asFiles(base), adapters: sources })).findings), ["warning zero-weight", "warning output-is-base"]);
  assert.deepEqual(codes((await plan({ base: asFiles(base), adapters: [...sources, asFiles(adapter)] })).findings), ["warning zero-weight", "warning repeated-adapter"]);
});

describe("an adapter of some layers", () => {
  const LAYERS = 4;
  const NAMES = ["self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj"];
  const base = asFiles({
    "config.json": Buffer.from(JSON.stringify(CONFIGS.base)),
    "model.safetensors": buildSafetensors(Object.fromEntries([...Array(LAYERS).keys()].flatMap((layer) =>
      NAMES.map((name) => [`model.layers.${layer}.${name}.weight`, { dtype: "F32", shape: [4, 4], values: Array(16).fill(1) }])))),
  });

  /** What is said of an adapter with factors for some layers. @param {number[]} layers @param {object} config @param {string[]} names */
  async function said(layers, config, names = NAMES.slice(0, 2), front = "base_model.model.model.") {
    const values = Array(8).fill(1);
    const factors = layers.flatMap((layer) => names.flatMap((name) => [
      [`${front}layers.${layer}.${name}.lora_A.weight`, { dtype: "F32", shape: [2, 4], values }],
      [`${front}layers.${layer}.${name}.lora_B.weight`, { dtype: "F32", shape: [4, 2], values }],
    ]));
    const adapter = asFiles({
      "adapter_config.json": Buffer.from(JSON.stringify({ ...CONFIGS.adapter, ...config })),
      "adapter_model.safetensors": buildSafetensors(Object.fromEntries(factors)),
    });
    const { findings } = await plan({ base, adapters: [adapter] });
    return findings.filter(({ code }) => code === "missing-layers");
  }

  for (const [how, config] of /** @type {[string, object][]} */ ([
    ["a list", { target_modules: ["q_proj", "v_proj"] }],
    ["a regular expression", { target_modules: ".*\\.(q|v)_proj" }],
    ["all-linear", { target_modules: "all-linear", exclude_modules: ["down_proj"] }],
  ])) {
    test(`that ${how} names more of is told: ${how}`, async () => {
      assert.deepEqual(await said([0, 1, 2, 3], config), []);
      for (const layers of [[0, 1], [2, 3], [0, 3]]) {
        const [finding, ...more] = await said(layers, config);
        assert.deepEqual(more, []);
        assert.equal(finding?.level, "warning");
        assert.match(finding.message, /names 4 modules that its file has nothing for, such as model\.layers\.[0-3]\.self_attn\.q_proj,/);
      }
    });
  }

  test("is told wherever its layers stand", async () => {
    const [finding] = await said([0, 1], { target_modules: ["q_proj", "v_proj"] }, NAMES.slice(0, 2), "base_model.model.");
    assert.match(finding?.message ?? "", /names 4 modules/);
  });

  for (const [how, config] of /** @type {[string, object][]} */ ([
    ["layers_to_transform", { layers_to_transform: [0, 1] }],
    ["whole paths", { target_modules: [0, 1].flatMap((layer) => ["q", "v"].map((name) => `model.layers.${layer}.self_attn.${name}_proj`)) }],
    ["a regular expression with their numbers", { target_modules: "model\\.layers\\.[01]\\.self_attn\\.(q|v)_proj" }],
    ["exclude_modules", { exclude_modules: "model\\.layers\\.[23]\\..*" }],
    ["no word of targets", { target_modules: null }],
  ])) test(`that were chosen is not told: ${how}`, async () => assert.deepEqual(await said([0, 1], config), []));
});
