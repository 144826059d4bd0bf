// @ts-check
// Which tensor a pair belongs to, and which way round: models of which several parts have the same paths, square weights,
// adapters that contradict each other.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect, merge, openMerged, plan } from "../../pkg/node.js";
import { buildSafetensors, parseSafetensors, valuesOf } from "./safetensors-file.mjs";
import { asFiles, TENSORS, tinyModel } from "./tiny-model.mjs";

/** @typedef {Record<string, [number, number]>} Shapes */

const ramp = (/** @type {number} */ count, /** @type {number} */ from) => Array.from({ length: count }, (_, i) => from + ((i * 7) % 11));
const tensor = (/** @type {[number, number]} */ shape, /** @type {number} */ from) => ({ dtype: "F32", shape, values: ramp(shape[0] * shape[1], from) });

/** A base with weights of these shapes. @param {Shapes} shapes @param {object} [config] @param {Record<string, string>} [metadata] */
const baseOf = (shapes, config = {}, metadata = { format: "pt" }) =>
  asFiles({
    "config.json": Buffer.from(JSON.stringify(config)),
    "model.safetensors": buildSafetensors(Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [`${name}.weight`, tensor(shape, -3)])), metadata),
  });

/** An adapter of rank 1 for modules of [outputs, inputs]. @param {Shapes} modules @param {object} [config] */
const adapterOf = (modules, config = {}) =>
  asFiles({
    "adapter_config.json": Buffer.from(JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1, ...config })),
    "adapter_model.safetensors": buildSafetensors(
      Object.fromEntries(
        Object.entries(modules).flatMap(([module, [outputs, inputs]]) => [
          [`base_model.model.${module}.lora_A.weight`, tensor([1, inputs], 1)],
          [`base_model.model.${module}.lora_B.weight`, tensor([outputs, 1], -2)],
        ]),
      ),
    ),
  });

/** @param {import("../../pkg/types.js").MergeOptions} options */
async function merged(options) {
  const { files } = await merge({ ...options, workers: 0 });
  const file = files.find(({ name }) => name === "model.safetensors");
  assert.ok(file);
  return parseSafetensors(Buffer.from(await (await file.blob()).arrayBuffer()));
}

/** W + B·A of a square of three, or W + (B·A)ᵀ. @param {boolean} transposed */
function square(transposed) {
  const [a, b] = [ramp(3, 1), ramp(3, -2)];
  return ramp(9, -3).map((w, at) => {
    const [row, col] = [Math.floor(at / 3), at % 3];
    return w + (transposed ? b[col] * a[row] : b[row] * a[col]);
  });
}

test("an adapter of one part is not merged into another with the same paths", async () => {
  const base = baseOf({ "model.encoder.layers.0.q_proj": [3, 3], "model.decoder.layers.0.q_proj": [3, 3], proj_out: [3, 3] });
  const adapters = (/** @type {string} */ module) => [adapterOf({ [module]: [3, 3] })];
  for (const module of ["layers.0.q_proj", "model.layers.0.q_proj"]) {
    await assert.rejects(plan({ base, adapters: adapters(module) }), (/** @type {any} */ error) => {
      assert.equal(error.code, "unmatched-key");
      assert.match(error.message, /model\.decoder\., model\.encoder\./);
      return true;
    });
  }
  const { tensors } = await merged({ base, adapters: adapters("encoder.layers.0.q_proj") });
  const values = (/** @type {string} */ name) => [...valuesOf(/** @type {any} */ (tensors.get(`${name}.weight`)))];
  assert.deepEqual(values("model.encoder.layers.0.q_proj"), square(false));
  assert.deepEqual(values("model.decoder.layers.0.q_proj"), ramp(9, -3));
});

/** The tensors that a plan merges. @param {import("../../pkg/types.js").PlanOptions} options */
const mergedNames = async (options) => (await plan(options)).tensors.filter(({ action }) => action === "merge").map(({ name }) => name);

test("a layer that the base lacks lands in no other tower", async () => {
  for (const [prefix, tower] of [["", "vision."], ["model.", "vision."], ["model.", "draft."]]) {
    const layers = (/** @type {number} */ count, inside = "") => Array.from({ length: count }, (_, layer) => `${prefix}${inside}layers.${layer}.q_proj`);
    const shapes = (/** @type {string[]} */ modules) => /** @type {Shapes} */ (Object.fromEntries(modules.map((module) => [module, [3, 3]])));
    const base = baseOf(shapes([...layers(2), ...layers(3, tower)]));
    assert.deepEqual(await mergedNames({ base, adapters: [adapterOf(shapes(layers(2)))] }), layers(2).map((module) => `${module}.weight`));
    await assert.rejects(plan({ base, adapters: [adapterOf(shapes(layers(3)))] }), { code: "unmatched-key" });
  }
});

test("names that transformers 5 has in memory are found where the model type has them", async () => {
  const adapters = [adapterOf({ "vit.layers.0.attention.q_proj": [3, 3], "vit.layers.0.mlp.fc1": [3, 3] })];
  /** @type {Shapes[]} */
  const [whole, body] = ["vit.", ""].map((prefix) => ({
    [`${prefix}encoder.layer.0.attention.attention.query`]: [3, 3],
    [`${prefix}encoder.layer.0.intermediate.dense`]: [3, 3],
  }));
  const codes = async (/** @type {Shapes} */ shapes) => (await plan({ base: baseOf(shapes, { model_type: "vit" }), adapters })).findings.map(({ code }) => code);
  assert.deepEqual(await codes(whole), ["modules-renamed"]);
  assert.deepEqual(await codes(body), ["modules-renamed", "prefix-rewritten"]);
  await assert.rejects(plan({ base: baseOf(whole, { model_type: "llama" }), adapters }), { code: "unmatched-key" });
});

test("what is said of names is bounded: of many parts a few are named, and of long names none as an example", async () => {
  const long = "x".repeat(2000);
  const parts = Object.fromEntries(Array.from({ length: 300 }, (_, part) => [`part${part}.q_proj`, /** @type {[number, number]} */ ([3, 3])]));
  await assert.rejects(plan({ base: baseOf(parts), adapters: [adapterOf({ q_proj: [3, 3] })] }), (/** @type {any} */ error) => {
    assert.equal(error.facts.kind, "ambiguous-part");
    assert.match(error.message, /part0\., .* and 292 more\)/);
    assert.ok(error.message.length < 300, error.message);
    return true;
  });
  const base = baseOf({ [long]: [3, 3], "model.q_proj": [3, 3] });
  const unknown = Object.fromEntries(Array.from({ length: 200 }, (_, number) => [`unknown${number}`, /** @type {[number, number]} */ ([3, 3])]));
  const { findings } = await plan({ base, adapters: [adapterOf({ "model.q_proj": [3, 3], ...unknown })], allowUnmatched: true });
  assert.equal(findings.length, 200);
  for (const { message } of findings) assert.match(message, /for example, model\.q_proj\.weight/);
  assert.ok(JSON.stringify(findings).length < 200 * 600);
});

test("an adapter's scales are counted, however many there are", async () => {
  const modules = Array.from({ length: 500 }, (_, number) => `model.layers.${number}.q_proj`);
  const shapes = Object.fromEntries(modules.map((module) => [module, /** @type {[number, number]} */ ([2, 3])]));
  // Every third has the alpha of its own, the others share one.
  const alphas = modules.map((_, number) => (number % 3 === 0 ? number + 2 : 1));
  const config = { alpha_pattern: Object.fromEntries(modules.map((module, number) => [module.replaceAll(".", "\\."), alphas[number]])) };
  const { adapters: [adapter], recipe } = await plan({ base: baseOf(shapes), adapters: [adapterOf(shapes, config)] });
  const distinct = [...new Set(adapter.scales.map(({ alpha }) => alpha))];
  assert.equal(distinct.length, adapter.scales.length);
  assert.deepEqual(new Set(distinct), new Set(alphas));
  for (const { alpha, tensors } of adapter.scales) assert.equal(tensors, alphas.filter((other) => other === alpha).length);
  assert.deepEqual(recipe.adapters[0].scales.map(({ alpha }) => alpha), distinct);
  assert.deepEqual([adapter.matched, adapter.modules], [500, 500]);
});

test("parts whose names have changed are each found", async () => {
  /** @type {Shapes} */
  const qwen = { "model.layers.0.q_proj": [3, 3], "visual.blocks.0.qkv": [3, 3], "visual.blocks.1.qkv": [3, 3], lm_head: [3, 3] };
  const modules = ["model.language_model.layers.0.q_proj", "model.visual.blocks.0.qkv", "model.visual.blocks.1.qkv"];
  const adapters = [adapterOf(Object.fromEntries(modules.map((module) => [module, [3, 3]])))];
  const base = baseOf(qwen);
  assert.deepEqual((await mergedNames({ base, adapters })).sort(), ["model.layers.0.q_proj.weight", "visual.blocks.0.qkv.weight", "visual.blocks.1.qkv.weight"]);
  const { findings } = await plan({ base, adapters });
  assert.deepEqual(findings.map(({ code }) => code), ["prefix-rewritten", "prefix-rewritten"]);
  // A layer that the base does not have is looked for nowhere else.
  await assert.rejects(plan({ base, adapters: [adapterOf({ "model.language_model.layers.0.q_proj": [3, 3], "model.language_model.layers.1.q_proj": [3, 3] })] }), { code: "unmatched-key" });
});

test("an output layer with a delta is tied no more, in the language model's own configuration either", async () => {
  const head = (/** @type {string} */ name, /** @type {object} */ config) => ({ base: baseOf({ [name]: [3, 3] }, config), adapters: [adapterOf({ [name]: [3, 3] })] });
  const ties = async (/** @type {ReturnType<typeof head>} */ options) => {
    const { files, report } = await merge({ ...options, workers: 0 });
    const file = files.find(({ name }) => name === "config.json");
    assert.ok(file);
    const config = JSON.parse(await (await file.blob()).text());
    return [config.tie_word_embeddings, config.text_config?.tie_word_embeddings, report.findings.map(({ code }) => code)];
  };
  const tie_word_embeddings = true;
  assert.deepEqual(await ties(head("lm_head", { model_type: "llama", tie_word_embeddings })), [false, undefined, ["untied"]]);
  assert.deepEqual(await ties(head("lm_head", { model_type: "gpt2" })), [false, undefined, ["untied"]]);
  assert.deepEqual(await ties(head("embed_out", { model_type: "gpt_neox", tie_word_embeddings })), [false, undefined, ["untied"]]);
  // Beside the embedding, stored twice or once.
  const llama = { model_type: "llama", tie_word_embeddings };
  /** @type {Shapes[]} */
  const stored = [{ "model.embed_tokens": [3, 3], lm_head: [3, 3] }, { "model.embed_tokens": [3, 3] }];
  for (const shapes of stored) {
    const options = { base: baseOf(shapes, llama), adapters: [adapterOf({ lm_head: [3, 3] })] };
    assert.deepEqual(await ties(options), [false, undefined, ["untied"]]);
  }
  const llava = { model_type: "llava", tie_word_embeddings: false, text_config: { tie_word_embeddings } };
  assert.deepEqual(await ties(head("language_model.lm_head", llava)), [false, false, ["untied"]]);
  assert.deepEqual(await ties(head("lm_head", { model_type: "llama", tie_word_embeddings: false })), [false, undefined, []]);
  // A layer of another model that only has such a name.
  assert.deepEqual(await ties(head("blocks.0.proj_out", { model_type: "flux" })), [undefined, undefined, []]);
});

test("an output layer that more is tied with is refused", async () => {
  /** @type {[string, object][]} */
  const models = [
    ["lm_head", { model_type: "t5", is_encoder_decoder: true, tie_word_embeddings: true }],
    ["proj_out", { model_type: "whisper", is_encoder_decoder: true }],
    ["cls.predictions.decoder", { model_type: "bert" }],
  ];
  for (const [name, config] of models) {
    const adapters = [adapterOf({ [name]: [3, 3] })];
    await assert.rejects(plan({ base: baseOf({ [name]: [3, 3] }, config), adapters }), { code: "unsupported", tensor: `${name}.weight` });
    await plan({ base: baseOf({ [name]: [3, 3] }, { ...config, tie_word_embeddings: false }), adapters });
  }
});

test("the weight that an adapter brings along takes the place of the base's", async () => {
  const own = { dtype: "F64", shape: [3, 3], values: ramp(9, 5) };
  const factors = { "lm_head.lora_A.weight": tensor([1, 3], 1), "lm_head.lora_B.weight": tensor([3, 1], -2) };
  const adapter = (/** @type {import("./safetensors-file.mjs").NewTensor} */ weight) =>
    asFiles({
      "adapter_config.json": Buffer.from(JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1 })),
      "adapter_model.safetensors": buildSafetensors({ "lm_head.base_layer.weight": weight, ...factors }),
    });
  const base = baseOf({ lm_head: [3, 3], other: [3, 3] }, { tie_word_embeddings: false });
  for (const dtype of /** @type {const} */ (["keep", "float16"])) {
    const options = { base, adapters: [adapter(own)], dtype };
    const { tensors } = await merged(options);
    const values = (/** @type {string} */ name) => [...valuesOf(/** @type {any} */ (tensors.get(name)))];
    assert.deepEqual(values("lm_head.weight"), square(false).map((value) => value + 8));
    assert.deepEqual(values("other.weight"), ramp(9, -3));
    assert.equal(tensors.get("lm_head.weight")?.dtype, dtype === "keep" ? "F32" : "F16");
    assert.deepEqual((await plan(options)).findings.map(({ code }) => code), ["base-replaced"]);
    const model = await openMerged(options);
    const file = model.files.find(({ name }) => name === "model.safetensors");
    assert.ok(file);
    assert.deepEqual(parseSafetensors(Buffer.from(await model.read(file.name, 0, file.size))).tensors, tensors);
    model.close();
  }
  await assert.rejects(plan({ base, adapters: [adapter({ ...own, shape: [9, 1] })] }), { code: "shape-mismatch" });
  await assert.rejects(plan({ base, adapters: [adapter(own), adapter(own)] }), { code: "unsupported" });
  assert.deepEqual((await plan({ base, adapters: [adapterOf({ other: [3, 3] }), { source: adapter(own), weight: 0 }] })).findings.map(({ code }) => code), ["zero-weight"]);
});

/** What the merge makes of each module's square. @param {Shapes} shapes @param {object} config @param {object} [flag] */
async function orientations(shapes, config, flag) {
  const { tensors } = await merged({ base: baseOf(shapes, config), adapters: [adapterOf(shapes, flag)] });
  const is = (/** @type {string} */ module) => {
    const values = [...valuesOf(/** @type {any} */ (tensors.get(`${module}.weight`)))];
    assert.deepEqual(values, square(values[1] === square(true)[1]));
    return values[1] === square(true)[1];
  };
  return Object.fromEntries(Object.keys(shapes).filter((module) => shapes[module][0] === shapes[module][1]).map((module) => [module, is(module)]));
}

test("linear layers beside Conv1D keep their orientation", async () => {
  /** @type {Shapes} */
  const squares = { "encoder.layer.0.query": [3, 3], "decoder.h.0.attn.c_proj": [3, 3] };
  const config = { model_type: "vision-encoder-decoder", encoder: { model_type: "vit" }, decoder: { model_type: "gpt2" } };
  const right = { "encoder.layer.0.query": false, "decoder.h.0.attn.c_proj": true };
  for (const fan_in_fan_out of [true, false]) assert.deepEqual(await orientations(squares, config, { fan_in_fan_out }), right);
  // The flag is for the layers that need it.
  assert.deepEqual(await orientations(squares, {}, { fan_in_fan_out: true }), right);
});

test("only a flag: the merge goes by it and says so", async () => {
  const base = baseOf({ "net.mix": [3, 3] });
  const adapters = [adapterOf({ "net.mix": [3, 3] }, { fan_in_fan_out: true })];
  const { findings } = await plan({ base, adapters });
  assert.deepEqual(findings.map(({ level, code }) => [level, code]), [["warning", "orientation-assumed"]]);
});

test("what fits only transposed is another base's, unless something says that it may be", async () => {
  /** @type {Shapes[]} */
  const [stored, trained] = [{ "layers.0.o_proj": [2, 4] }, { "layers.0.o_proj": [4, 2] }];
  const options = (/** @type {object} */ config, /** @type {object} */ flag) => ({ base: baseOf(stored, config), adapters: [adapterOf(trained, flag)] });
  await assert.rejects(plan(options({ model_type: "llama" }, {})), { code: "shape-mismatch" });
  await plan(options({ model_type: "llama" }, { fan_in_fan_out: true }));
  await plan(options({ model_type: "gpt2" }, {}));
});

test("a flag does not turn squares beside weights that are surely the other way", async () => {
  /** @type {Shapes} */
  const llama = { "layers.0.q_proj": [3, 3], "layers.0.k_proj": [2, 3] };
  assert.deepEqual(await orientations(llama, { model_type: "llama" }, { fan_in_fan_out: true }), { "layers.0.q_proj": false });
});

test("two adapters that take one weight for different layers are refused", async () => {
  const base = baseOf({ "net.mix": [4, 2] });
  const adapters = [adapterOf({ "net.mix": [4, 2] }), adapterOf({ "net.mix": [2, 4] })];
  await assert.rejects(plan({ base, adapters }), { code: "shape-mismatch" });
  await plan({ base, adapters: [adapters[1]] });
});

test("a format is written where the base has none, and kept where it has one", async () => {
  /** @type {Shapes} */
  const shapes = { "net.mix": [3, 3] };
  for (const [metadata, format] of /** @type {const} */ ([[{}, "pt"], [{ format: "mlx" }, "mlx"], [{ note: "x" }, "pt"]])) {
    const parsed = await merged({ base: baseOf(shapes, {}, metadata), adapters: [adapterOf(shapes)] });
    assert.equal(parsed.metadata?.format, format);
  }
});

test("what an unfinished merge has left in a base is not copied", async () => {
  /** @type {Shapes} */
  const shapes = { "net.mix": [3, 3] };
  const left = asFiles({ ".config.json.partial": Buffer.from("?"), ".model.safetensors.0a.partial": Buffer.from("?"), ".lorafold-part-1-of-2.json": Buffer.from("?") });
  const { files, findings } = await plan({ base: [...baseOf(shapes), ...left], adapters: [adapterOf(shapes)] });
  assert.deepEqual(files.map(({ name }) => name).sort(), ["config.json", "model.safetensors"]);
  assert.match(findings[0].message, /\.config\.json\.partial/);
});

test("a merge into a merged model keeps the recipe of the first", async () => {
  /** @type {Shapes} */
  const shapes = { "net.mix": [3, 3] };
  const adapters = [adapterOf(shapes)];
  const { files } = await merge({ base: baseOf(shapes), adapters, workers: 0 });
  const base = await Promise.all(files.map(async ({ name, blob }) => new File([await blob()], name)));
  const first = await inspect(base);
  const second = JSON.parse((await merged({ base, adapters })).metadata?.["lorafold.recipe"] ?? "");
  assert.equal(first.kind, "merged");
  assert.deepEqual(second.base.recipe, first.recipe);
});

test("inspect reads a configuration with Python's floats", async () => {
  const files = baseOf({ "net.mix": [3, 3] });
  const config = new File(['{"model_type":"mamba2","limit":[0.0,Infinity]}'], "config.json");
  const description = await inspect([...files.filter(({ name }) => name !== "config.json"), config]);
  assert.ok(description.kind === "base");
  assert.equal(description.modelType, "mamba2");
});

test("a recipe of another version comes through as it stands, whatever it holds", async () => {
  const earlier = '{"lorafold":"9.0","elements":9007199254740993000,"__proto__":{"a":[1.5,null]}}';
  const { base: files, adapter } = tinyModel();
  const base = asFiles({ ...files, "model.safetensors": buildSafetensors(TENSORS.base, { "lorafold.recipe": earlier, ["__proto__"]: "text" }) });
  const described = await inspect(base);
  assert.ok(described.kind === "merged");
  assert.deepEqual(described.recipe, JSON.parse(earlier));
  assert.deepEqual(Object.entries(described.metadata), [["__proto__", "text"]]);
  assert.deepEqual((await plan({ base, adapters: [asFiles(adapter)], dtype: "float16" })).recipe.base.recipe, JSON.parse(earlier));
});
