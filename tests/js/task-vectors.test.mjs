// @ts-check
// Whole fine-tuned models in the place of adapters: from files, folders, servers and the hub, merged and merged on reading.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { createApi } from "../../pkg/api.js";
import { createContext } from "../../pkg/context.js";
import { LorafoldError, merge, openMerged, plan } from "../../pkg/node.js";
import { nodePlatform } from "../../pkg/node/context.js";
import { NETWORK } from "../../pkg/sources/network.js";
import { fakeHub } from "../fake-hub.mjs";
import { lorafold } from "./command.mjs";
import { random, round } from "./numbers.mjs";
import { buildSafetensors, parseSafetensors, readModel, valuesOf } from "./safetensors-file.mjs";
import { scratch, sha256, writeFolder } from "./scratch.mjs";
import { correct, scriptedServer, whole } from "./scripted-server.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

/** @typedef {import("./safetensors-file.mjs").NewTensor} NewTensor */

const SHAPES = /** @type {[string, number[]][]} */ ([["model.embed_tokens.weight", [300, 40]], ["model.layers.0.up_proj.weight", [700, 200]], ["model.norm.weight", [40]]]);
const CONFIG = Buffer.from(JSON.stringify({ model_type: "llama", tie_word_embeddings: false }));

/** Tensors of a type. @param {number} seed @param {string} dtype @param {number} [rows] of the embedding @returns {Record<string, NewTensor>} */
function tensors(seed, dtype, rows = 300) {
  const next = random(seed);
  const of = (/** @type {number[]} */ [first, ...rest], /** @type {number} */ at) => {
    const shape = [at === 0 ? rows : first, ...rest];
    return { dtype, shape, values: Array.from({ length: shape.reduce((all, side) => all * side, 1) }, () => next() * 2 - 1) };
  };
  return Object.fromEntries(SHAPES.map(([name, shape], at) => [name, of(shape, at)]));
}

/** A model in a file, or with an index in a file for each tensor. @param {Record<string, NewTensor>} all @param {boolean} [sharded] @returns {Record<string, Buffer>} */
function model(all, sharded = false) {
  if (!sharded) return { "config.json": CONFIG, "model.safetensors": buildSafetensors(all) };
  const shards = Object.entries(all).map(([name, tensor], at) => /** @type {const} */ ([`model-0000${at + 1}-of-00003.safetensors`, { [name]: tensor }]));
  const map = Object.fromEntries(shards.flatMap(([file, part]) => Object.keys(part).map((name) => [name, file])));
  return { "config.json": CONFIG, "model.safetensors.index.json": Buffer.from(JSON.stringify({ metadata: {}, weight_map: map })), ...Object.fromEntries(shards.map(([file, part]) => [file, buildSafetensors(part)])) };
}

const base = model(tensors(1, "BF16"));
const tuned = model(tensors(2, "F16"), true);

/** The weights of a merge. @param {import("../../pkg/node.js").MergeResult} merged */
async function weightsOf({ files }) {
  const file = files.find(({ name }) => name === "model.safetensors");
  assert.ok(file);
  return Buffer.from(await (await file.blob()).arrayBuffer());
}

const half = await weightsOf(await merge({ base: asFiles(base), adapters: [{ source: asFiles(tuned), weight: 0.5, name: "tuned" }], workers: 0 }));

test("half the way is the mean, and alone at weight 1 it is the model", async () => {
  const [w, m] = [parseSafetensors(base["model.safetensors"]).tensors, tensors(2, "F16")];
  for (const [name, merged] of parseSafetensors(half).tensors) {
    assert.equal(merged.dtype, "BF16");
    const [before, after] = [valuesOf(/** @type {any} */ (w.get(name))), valuesOf(merged)];
    const model = Float64Array.from(m[name].values ?? [], (value) => round(value, "F16"));
    for (const [i, value] of after.entries()) assert.equal(value, round(Math.fround(before[i] + Math.fround(0.5 * Math.fround(model[i] - before[i]))), "BF16"), `${name}[${i}]`);
  }
  const one = await merge({ base: asFiles(base), adapters: [asFiles(tuned)] });
  for (const [name, merged] of parseSafetensors(await weightsOf(one)).tensors) {
    assert.deepEqual(valuesOf(merged), Float64Array.from(m[name].values ?? [], (value) => round(round(value, "F16"), "BF16")), name);
  }
  assert.deepEqual(one.report.adapters.map(({ type, matched }) => [type, matched]), [["task-vector", 3]]);
});

test("workers, a folder on disk and a server give the same bytes, and no model is read into memory", async (t) => {
  const folder = await writeFolder(join(await scratch(t), "tuned"), tuned);
  /** @type {number[]} */
  const asked = [];
  const server = await scriptedServer(tuned, (request) => {
    if (request.range && request.file && request.name.endsWith(".safetensors")) asked.push(request.range[1] - request.range[0] + 1);
    return correct(request);
  });
  t.after(() => server.close());
  for (const source of [folder, join(folder, "config.json"), server.url]) {
    for (const workers of [0, 2]) {
      const merged = await merge({ base: asFiles(base), adapters: [{ source, weight: 0.5, name: "tuned" }], workers });
      assert.ok((await weightsOf(merged)).equals(half), `${source}, ${workers} workers`);
      const [{ files, model }] = merged.report.recipe.adapters;
      assert.deepEqual([files, model?.files.map(({ name }) => name)], [[], Object.keys(tuned).filter((name) => name.endsWith(".safetensors"))]);
    }
  }
  const largest = Math.max(...Object.values(tuned).map(({ length }) => length));
  assert.ok(asked.every((bytes) => bytes <= largest), "it asks for more than a file has, as for adapters");
  const onePass = await scriptedServer(tuned, whole);
  t.after(() => onePass.close());
  await assert.rejects(plan({ base: asFiles(base), adapters: [onePass.url] }), (error) => error instanceof LorafoldError && error.code === "no-range-support");
});

test("ranges of a model that is merged on reading", async (t) => {
  const server = await scriptedServer(Object.fromEntries([...Object.entries(base).map(([name, bytes]) => [`base/${name}`, bytes]), ...Object.entries(tuned).map(([name, bytes]) => [`tuned/${name}`, bytes])]));
  t.after(() => server.close());
  const opened = await openMerged({ base: `${server.url}base/`, adapters: [{ source: `${server.url}tuned/`, weight: 0.5, name: "tuned" }] });
  const [{ size }] = opened.files;
  const next = random(7);
  for (let i = 0; i < 25; i++) {
    const start = Math.floor(next() * size);
    const end = start + Math.floor(next() * (size - start));
    assert.ok(half.subarray(start, end).equals(await opened.read("model.safetensors", start, end)), `${start}..${end}`);
  }
  opened.close();
});

test("a model of the hub, with its commit and hashes; subtracted, beside a LoRA", async (t) => {
  const hub = await fakeHub({});
  t.after(() => hub.close());
  const commit = hub.push("org/tuned", { ...tuned, "tokenizer.json": "{}", "onnx/model.onnx": "x" });
  const { base: tiny, adapter } = tinyModel();
  hub.push("org/lora", adapter);
  const context = createContext({ ...nodePlatform, hubToken: async () => undefined, network: { ...NETWORK, hubEndpoint: hub.url } });
  const api = createApi(() => context);
  const { recipe, adapters } = await api.plan({ base: asFiles(base), adapters: [{ source: "hf://org/tuned", weight: -0.25 }] });
  const names = Object.keys(tuned).filter((name) => name.endsWith(".safetensors"));
  const files = names.map((name) => ({ name, size: tuned[name].length, sha256: sha256(tuned[name]) }));
  assert.deepEqual(recipe.adapters[0].model, { origin: `hf://org/tuned@${commit}`, files });
  assert.equal(adapters[0].weight, -0.25);
  hub.push("org/tiny", tiny);
  const both = await api.plan({ base: asFiles(tiny), adapters: [{ source: "hf://org/tiny", weight: -1 }, "hf://org/lora"] });
  assert.deepEqual(both.tensors.map(({ adapters }) => adapters?.map(({ method }) => method).join()), ["task-vector", "task-vector,lora", "task-vector,lora", "task-vector"]);
});

test("on the command line, with a vocabulary that grew", async (t) => {
  const folder = await scratch(t);
  const paths = [await writeFolder(join(folder, "base"), base), await writeFolder(join(folder, "grown"), model(tensors(3, "BF16", 310)))];
  const args = ["merge", "--base", paths[0] ?? "", "--adapter", `${paths[1]}@1`, "--out", join(folder, "out"), "--quiet"];
  const refused = await lorafold(args);
  assert.deepEqual([refused.code, /310 rows, the base's 300.*--vocabulary intersect/.test(refused.stderr)], [1, true], refused.stderr);
  const { code, stdout, stderr } = await lorafold([...args.slice(0, -1), "--vocabulary", "intersect"]);
  assert.equal(code, 0, stderr);
  assert.match(stdout + stderr, /vocabulary-intersected/);
  const merged = readModel(join(folder, "out")).get("model.embed_tokens.weight");
  const grown = readModel(paths[1] ?? "").get("model.embed_tokens.weight");
  assert.ok(merged && grown && merged.bytes.equals(grown.bytes.subarray(0, merged.bytes.length)));
  const wrong = await lorafold([...args, "--vocabulary", "union"]);
  assert.notEqual(wrong.code, 0);
});
