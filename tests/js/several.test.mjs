// @ts-check
// One of several adapters, by its name: in one file whose keys have names, and in a folder with a folder for each.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "node:test";
import { LorafoldError, merge, plan } from "../../pkg/node.js";
import { lorafold } from "./command.mjs";
import { readModel, parseSafetensors } from "./safetensors-file.mjs";
import { scratch, writeFolder } from "./scratch.mjs";
import { scriptedServer } from "./scripted-server.mjs";
import { asFiles, CONFIGS, TENSORS, tinyModel } from "./tiny-model.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";

/** The adapter's tensors with a name in their keys, all values multiplied. @param {string} name @param {number} times */
const named = (name, times) =>
  Object.fromEntries(
    Object.entries(TENSORS.adapter).map(([key, tensor]) => [
      key.replace(".weight", `${name && "."}${name}.weight`),
      { ...tensor, values: Array.from(tensor.values ?? [], (value) => (key.includes("lora_B") ? value * times : value)) },
    ]),
  );
const config = Buffer.from(JSON.stringify(CONFIGS.adapter));
const adapterOf = (/** @type {Record<string, any>} */ tensors) => ({ "adapter_config.json": config, "adapter_model.safetensors": buildSafetensors(tensors) });

const { base } = tinyModel();
const together = adapterOf({ ...named("speech", 1), ...named("vision", -2) });
const alone = { speech: adapterOf(named("", 1)), vision: adapterOf(named("", -2)) };

/** @param {import("../../pkg/types.js").SourceLike | import("../../pkg/types.js").AdapterOptions} adapter */
async function merged(adapter) {
  const { files, report } = await merge({ base: asFiles(base), adapters: [adapter], workers: 0 });
  const file = files.find(({ name }) => name === "model.safetensors");
  assert.ok(file);
  const { tensors } = parseSafetensors(Buffer.from(await (await file.blob()).arrayBuffer()));
  return { values: [...tensors].map(([name, { bytes }]) => [name, bytes.toString("hex")]), name: report.adapters[0].name };
}

const expected = { speech: (await merged(asFiles(alone.speech))).values, vision: (await merged(asFiles(alone.vision))).values };
assert.notDeepEqual(expected.speech, expected.vision);
const NAMES = /** @type {const} */ (["speech", "vision"]);

/** @param {Promise<unknown>} work @param {string} code @param {RegExp} says */
const refused = (work, code, says) =>
  assert.rejects(work, (error) => {
    assert.ok(error instanceof LorafoldError);
    assert.deepEqual([error.code, error.facts?.kind], [code, "several-adapters"], error.message);
    assert.match(error.message, says);
    return true;
  });

test("of one file", async () => {
  for (const adapter of NAMES) {
    const found = await merged({ source: asFiles(together), adapter });
    assert.deepEqual(found, { values: expected[adapter], name: adapter });
  }
  await refused(merged(asFiles(together)), "wrong-input", /speech, vision/);
  await refused(merged({ source: asFiles(together), adapter: "sound" }), "bad-option", /speech, vision/);
  const both = await plan({ base: asFiles(base), adapters: NAMES.map((adapter) => ({ source: asFiles(together), adapter })) });
  assert.deepEqual(both.adapters.map(({ name }) => name), NAMES);
});

test("of a folder, by path, URL and files picked in a browser", async (t) => {
  const folder = await scratch(t);
  for (const name of NAMES) await writeFolder(join(folder, name), alone[name]);
  const server = await scriptedServer(Object.fromEntries(NAMES.flatMap((name) => Object.entries(alone[name]).map(([file, bytes]) => [`run/${name}/${file}`, bytes]))));
  t.after(() => server.close());
  /** A file as a folder's input gives it. @param {string} path @param {Uint8Array} bytes */
  const picked = (path, bytes) => Object.defineProperty(new File([new Uint8Array(bytes)], path.split("/").at(-1) ?? ""), "webkitRelativePath", { value: path });
  const files = NAMES.flatMap((name) => Object.entries(alone[name]).map(([file, bytes]) => picked(`run/${name}/${file}`, bytes)));
  const directory = { kind: "directory", name: "run", values: async function* () {
    for (const name of NAMES) yield { kind: "directory", name };
  }, getDirectoryHandle: async (/** @type {"speech" | "vision"} */ name) => ({ kind: "directory", name, values: async function* () {
    for (const [file, bytes] of Object.entries(alone[name])) yield { kind: "file", name: file, getFile: async () => new File([new Uint8Array(bytes)], file) };
  } }) };
  const sources = [folder, pathToFileURL(folder), `${server.url}run`, new URL(`${server.url}run/`), { url: `${server.url}run`, headers: {} }, files, /** @type {any} */ (directory)];
  for (const source of sources) {
    for (const adapter of NAMES) assert.deepEqual((await merged({ source, adapter })).values, expected[adapter], String(source));
  }
  for (const source of [folder, files]) await refused(merged(source), "wrong-input", /speech, vision/);
});

test("on the command line", async (t) => {
  const folder = await scratch(t);
  const paths = { base: await writeFolder(join(folder, "base"), base), together: await writeFolder(join(folder, "to#gether"), together) };
  for (const name of NAMES) await writeFolder(join(folder, "run", name), alone[name]);
  for (const [number, adapter] of [`${paths.together}#vision`, `${paths.together}#vision@1`, `${join(folder, "run")}#vision`].entries()) {
    const out = join(folder, `out-${number}`);
    const { code, stderr } = await lorafold(["merge", "--base", paths.base, "--adapter", adapter, "--out", out, "--quiet"]);
    assert.equal(code, 0, stderr);
    assert.deepEqual([...readModel(out)].map(([name, { bytes }]) => [name, bytes.toString("hex")]), expected.vision);
  }
  const { code, stderr } = await lorafold(["merge", "--base", paths.base, "--adapter", paths.together, "--out", join(folder, "none")]);
  assert.equal(code, 1);
  assert.match(stderr, /speech, vision.*#NAME/);
});

test("what PEFT does twice is done once when asked for, and a base that has been changed is taken as it is", async (t) => {
  const folder = await scratch(t);
  const fixtures = new URL("../fixtures/", import.meta.url);
  const made = (/** @type {string} */ path) => readFileSync(new URL(path, fixtures));
  const attention = { "adapter_config.json": made("multihead/adapter/adapter_config.json"), "adapter_model.safetensors": made("multihead/adapter/adapter_model.safetensors") };
  const model = { "model.safetensors": made("multihead/base/model.safetensors") };
  const codes = async (/** @type {object} */ options) => (await plan({ base: asFiles(model), adapters: [{ source: asFiles(attention), ...options }] })).findings.map(({ code }) => code);
  assert.ok((await codes({})).includes("out-proj-twice"));
  assert.deepEqual(await codes({ outProj: "once" }), []);

  const residual = { ...tinyModel().adapter, "adapter_config.json": Buffer.from(JSON.stringify({ ...CONFIGS.adapter, init_lora_weights: "pissa_niter_4" })) };
  await assert.rejects(merged(asFiles(residual)), /residualBase/);
  assert.deepEqual((await merged({ source: asFiles(residual), residualBase: true })).values, expected.speech);
  const paths = [await writeFolder(join(folder, "base"), base), await writeFolder(join(folder, "adapter"), residual)];
  const { code, stderr } = await lorafold(["merge", "--base", paths[0], "--adapter", paths[1], "--out", join(folder, "out"), "--residual-base", "--out-proj", "once", "--quiet"]);
  assert.equal(code, 0, stderr);
});
