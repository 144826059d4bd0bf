// @ts-check
// `lorafold inspect`: what it says for people and for programs, of one path and of several.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { lorafold } from "./command.mjs";
import { fixture } from "./fixture.mjs";
import { buildSafetensors, readModel } from "./safetensors-file.mjs";
import { scratch, writeFolder } from "./scratch.mjs";
import { CONFIGS, Q, tinyModel, V } from "./tiny-model.mjs";

/** @param {import("node:test").TestContext} t */
async function tiny(t) {
  const folder = await scratch(t);
  const { base, adapter } = tinyModel();
  return { folder, base: await writeFolder(join(folder, "base"), base), adapter: await writeFolder(join(folder, "adapter"), adapter), out: join(folder, "out") };
}

describe("lorafold inspect", { concurrency: 2 }, () => {
  test("a base, an adapter and a merged model", async (t) => {
    const { base, adapter, out } = await tiny(t);
    assert.equal((await lorafold(["merge", "--base", base, "--adapter", `${adapter}@-0.5`, "--out", out])).code, 0);
    const { code, stdout, stderr } = await lorafold(["inspect", base, adapter, out, "--json"]);
    assert.equal(code, 0, stderr);
    const [model, lora, merged] = JSON.parse(stdout);
    assert.deepEqual([model.kind, model.name, model.modelType, model.tied, model.recipe], ["base", "base", "llama", false, null]);
    assert.equal(model.parameters, 24 + 20 + 12 + 4);
    assert.deepEqual(model.dtypes, { F32: { tensors: 4, bytes: 240 } });
    assert.deepEqual(model.metadata, { format: "pt" });
    assert.deepEqual(model.tensors[1], { name: `${Q}.weight`, dtype: "F32", shape: [5, 4], bytes: 80, file: "model.safetensors" });
    assert.deepEqual([lora.kind, lora.r, lora.alpha, lora.rslora], ["adapter", CONFIGS.adapter.r, CONFIGS.adapter.lora_alpha, false]);
    assert.deepEqual(lora.modules.map((/** @type {any} */ module) => [module.module, module.rank, module.scale, module.inputs, module.outputs]), [[Q, 2, 2, 4, 5], [V, 2, 2, 4, 3]]);
    assert.equal(merged.kind, "merged");
    assert.equal(merged.recipe.adapters[0].weight, -0.5);
    assert.deepEqual(merged.recipe.adapters[0].scales, [{ rank: 2, alpha: 4, scale: 2 }]);
    assert.match(merged.recipe.adapters[0].files[0].sha256, /^[0-9a-f]{64}$/);

    const text = (await lorafold(["inspect", base, adapter, out])).stdout;
    assert.match(text, /^base: base model \(llama\), 60 parameters in 1 file$/m);
    assert.match(text, /adapter: LORA adapter, r 2, alpha 4, 2 modules/);
    assert.match(text, /out: merged model/);
    assert.match(text, /recipe: 1 adapter, with weight -0\.5(; | \()/);
  });

  test("a base with every kind of tensor", async () => {
    const made = fixture("passthrough");
    const [model] = JSON.parse((await lorafold(["inspect", made.base, "--json"])).stdout);
    const tensors = readModel(made.base);
    assert.deepEqual(model.tensors.map((/** @type {any} */ tensor) => [tensor.name, tensor.dtype, tensor.bytes]).sort(),
      [...tensors].map(([name, { dtype, bytes }]) => [name, dtype, bytes.length]).sort());
  });

  test("what is neither, is broken or is not there", async (t) => {
    const { folder } = await tiny(t);
    await writeFolder(join(folder, "broken"), { "model.safetensors": Buffer.alloc(20, 255) });
    for (const [path, code] of [["nowhere", "bad-option"], [".", "wrong-input"], ["broken", "bad-header"]]) {
      const ended = await lorafold(["inspect", path, "--json"], { cwd: folder });
      assert.equal(ended.code, 1);
      const [found, ...more] = JSON.parse(ended.stdout);
      assert.deepEqual([found.path, found.error.code, more], [path, code, []]);
    }
  });

  test("one bad path does not drop the others", async (t) => {
    const { folder, base, adapter } = await tiny(t);
    const paths = [base, join(folder, "nowhere"), adapter];
    const people = await lorafold(["inspect", ...paths]);
    assert.equal(people.code, 1);
    assert.match(people.stdout, /^base: base model.*\n\nadapter: LORA adapter/s);
    assert.match(people.stderr, /^lorafold: error \[bad-option\]: .*no such folder: .*nowhere\n$/);
    const programs = await lorafold(["inspect", ...paths, "--json"]);
    assert.equal(programs.code, 1);
    const found = JSON.parse(programs.stdout);
    assert.deepEqual(found.map((/** @type {any} */ one) => one.kind ?? one.error.code), ["base", "bad-option", "adapter"]);
    assert.deepEqual(found[1].error.facts.kind, "not-found");
  });

  test("a model of many layers fits a screen, and --tensors lists all", async (t) => {
    const folder = await scratch(t);
    const shapes = [...Array(40).keys()].flatMap((layer) => [
      [`model.layers.${layer}.self_attn.q_proj`, 4, 4], [`model.layers.${layer}.mlp.up_proj`, 6, 4], [`model.layers.${layer}.mlp.h${layer}`, 2, 2],
    ]);
    const tensors = Object.fromEntries(shapes.map(([name, rows, columns]) => [`${name}.weight`, { dtype: "F32", shape: [rows, columns], values: Array(Number(rows) * Number(columns)).fill(1) }]));
    const factors = Object.fromEntries(shapes.flatMap(([name, rows, columns]) => [
      [`base_model.model.${name}.lora_A.weight`, { dtype: "F32", shape: [3, columns], values: Array(3 * Number(columns)).fill(1) }],
      [`base_model.model.${name}.lora_B.weight`, { dtype: "F32", shape: [rows, 3], values: Array(3 * Number(rows)).fill(1) }],
    ]));
    const base = await writeFolder(join(folder, "base"), { "model.safetensors": buildSafetensors(/** @type {any} */ (tensors)) });
    const adapter = await writeFolder(join(folder, "adapter"), { "adapter_model.safetensors": buildSafetensors(/** @type {any} */ (factors)), "adapter_config.json": JSON.stringify({ ...CONFIGS.adapter, r: 3, target_modules: "all-linear" }) });
    for (const [path, things] of [[base, "tensors"], [adapter, "modules"]]) {
      const short = await lorafold(["inspect", path]);
      assert.equal(short.code, 0, short.stderr);
      const lines = short.stdout.trimEnd().split("\n");
      assert.ok(lines.length <= 20, short.stdout);
      assert.ok(lines.some((line) => /^ {2}model\.layers\.\*\.mlp\.up_proj.* × 40$/.test(line)), short.stdout);
      assert.match(lines.at(-1) ?? "", new RegExp(`^ {2}… and 30 other ${things}: --tensors lists all$`));
      const long = (await lorafold(["inspect", path, "--tensors"])).stdout;
      for (const [name] of shapes) assert.ok(long.includes(`  ${name}`), `${name}`);
    }
    // 4/3 has no end: people see four digits of it, programs all.
    assert.match((await lorafold(["inspect", adapter])).stdout, /scale 1\.333 /);
    assert.equal(JSON.parse((await lorafold(["inspect", adapter, "--json"])).stdout)[0].modules[0].scale, 4 / 3);
  });
});
