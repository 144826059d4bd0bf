// @ts-check
// The receipt of a merge: what it says, that it is a statement of in-toto, and that the merge can be repeated from it.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createApi } from "../../pkg/api.js";
import { createContext } from "../../pkg/context.js";
import { merge, repeat } from "../../pkg/node.js";
import { nodePlatform } from "../../pkg/node/context.js";
import { mergeOptionsOf } from "../../pkg/provenance/repeat.js";
import { NETWORK } from "../../pkg/sources/network.js";
import { fakeHub } from "../fake-hub.mjs";
import { lorafold } from "./command.mjs";
import { faultsOf } from "./in-toto.mjs";
import { hashes, scratch, sha256, snapshot, writeFolder } from "./scratch.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";
import { asFiles, Q, randomModel, TENSORS, tinyModel } from "./tiny-model.mjs";

const { base, adapter } = tinyModel();
const inputs = () => ({ base: asFiles(base), adapters: [{ source: asFiles(adapter), weight: 0.5 }] });

/** @param {import("../../pkg/node.js").Receipt | undefined} receipt */
const subjects = (receipt) => Object.fromEntries((receipt?.subject ?? []).map(({ name, digest }) => [name, digest.sha256]));

/** A copy, changed. @param {unknown} value @param {(copy: any) => void} change */
function changed(value, change) {
  const copy = structuredClone(value);
  change(copy);
  return copy;
}

describe("a receipt", () => {
  test("is a statement of in-toto with SLSA's provenance", async () => {
    const { receipt } = await merge({ ...inputs(), receipt: true });
    assert.deepEqual(faultsOf(receipt), []);
    assert.deepEqual(faultsOf(JSON.parse(JSON.stringify(receipt))), []);
    const timed = await merge({ ...inputs(), receipt: { invocationId: "run 1", startedOn: "2026-11-28T08:00:00Z", finishedOn: "2026-11-28T08:00:01.5+01:00" } });
    assert.deepEqual(faultsOf(timed.receipt), []);
    // The rules find what breaks them.
    for (const change of [
      (/** @type {any} */ copy) => (copy._type = "https://in-toto.io/Statement/v0.1"),
      (/** @type {any} */ copy) => (copy.subject = []),
      (/** @type {any} */ copy) => delete copy.subject[0].digest,
      (/** @type {any} */ copy) => (copy.subject[0].digest.sha256 = "abc"),
      (/** @type {any} */ copy) => delete copy.predicate.runDetails.builder.id,
      (/** @type {any} */ copy) => delete copy.predicate.buildDefinition.externalParameters,
      (/** @type {any} */ copy) => (copy.predicate.buildDefinition.resolvedDependencies[0] = {}),
      (/** @type {any} */ copy) => (copy.predicate.buildDefinition.buildType = "merge"),
      (/** @type {any} */ copy) => (copy.predicate.runDetails.metadata = { startedOn: "yesterday" }),
      (/** @type {any} */ copy) => (copy.more = 1),
      (/** @type {any} */ copy) => (copy.predicate.metadata = {}),
      (/** @type {any} */ copy) => (copy.predicate.buildDefinition.resolvedDependencies[0].file = "x"),
      (/** @type {any} */ copy) => (copy.predicate.buildDefinition.resolvedDependencies[0].digest.sha256 = 5),
      (/** @type {any} */ copy) => (copy.subject[0].annotations = []),
      (/** @type {any} */ copy) => (copy.predicate.runDetails.builder.version = "1"),
    ]) {
      assert.notDeepEqual(faultsOf(changed(receipt, change)), [], String(change));
    }
  });

  test("has the hashes of every file, and no time and no place of its own", async () => {
    const result = await merge({ ...inputs(), receipt: true });
    const { receipt } = result;
    assert.deepEqual(Object.fromEntries(Object.entries(subjects(receipt)).sort()), await hashes(result));
    const { resolvedDependencies, externalParameters } = /** @type {import("../../pkg/node.js").Receipt} */ (receipt).predicate.buildDefinition;
    const files = { ...base, ...adapter };
    assert.deepEqual(resolvedDependencies.map(({ name, digest, annotations }) => [annotations?.role, name, digest?.sha256]), [
      ["base", "model.safetensors", sha256(files["model.safetensors"])],
      ["adapter", "adapter_config.json", sha256(files["adapter_config.json"])],
      ["adapter", "adapter_model.safetensors", sha256(files["adapter_model.safetensors"])],
    ]);
    assert.deepEqual(externalParameters.adapters, [{ weight: 0.5 }]);
    assert.deepEqual(externalParameters.recipe, result.report.recipe);
    assert.deepEqual((await merge({ ...inputs(), receipt: true, workers: 2 })).receipt, receipt);
  });

  test("is the same wherever the output goes", async (t) => {
    const folder = await scratch(t);
    const blob = await merge({ ...inputs(), receipt: true });
    const disk = await merge({ ...inputs(), receipt: true, output: join(folder, "out"), workers: 2 });
    assert.deepEqual(disk.receipt, blob.receipt);
    /** @type {Record<string, Buffer[]>} */
    const written = {};
    const stream = await merge({
      ...inputs(),
      receipt: true,
      output: ({ name }) => new WritableStream({ write: (/** @type {Uint8Array} */ chunk) => void (written[name] ??= []).push(Buffer.from(chunk)) }),
    });
    assert.deepEqual(stream.receipt, blob.receipt);
    assert.deepEqual(Object.fromEntries(Object.entries(written).map(([name, chunks]) => [name, sha256(Buffer.concat(chunks))])), subjects(blob.receipt));
  });

  test("is asked for in a way that it can be given", async () => {
    for (const receipt of ["yes", 1, null, { startedAt: "x" }, { startedOn: 5 }]) await assert.rejects(merge({ ...inputs(), receipt: /** @type {any} */ (receipt) }), { code: "bad-option" });
    assert.equal((await merge({ ...inputs(), receipt: false })).receipt, undefined);
  });
});

describe("repeating a merge", () => {
  test("gives the same files, of any model", async () => {
    for (const seed of [1, 2, 3]) {
      const model = randomModel(seed);
      const adapters = model.adapters.map(({ files, weight }) => ({ source: asFiles(files), weight }));
      const { receipt, files } = await merge({ base: asFiles(model.base), adapters, dtype: "float32", maxShardSize: 600, receipt: true });
      const { same, files: compared } = await repeat(JSON.parse(JSON.stringify(receipt)), { base: asFiles(model.base), adapters: model.adapters.map(({ files }) => asFiles(files)) });
      assert.ok(same, JSON.stringify(compared));
      assert.deepEqual(compared.map(({ name }) => name).sort(), files.map(({ name }) => name).sort());
    }
  });

  test("finds another base, another adapter, another option and another merged model", async (t) => {
    const folder = await scratch(t);
    const { receipt } = await merge({ ...inputs(), receipt: true, output: join(folder, "out") });
    const sources = { base: asFiles(base), adapters: [asFiles(adapter)] };
    assert.equal((await repeat(receipt, { ...sources, merged: join(folder, "out") })).same, true);
    const other = { ...base, "tokenizer.json": Buffer.from("{ }") };
    const { same, files } = await repeat(receipt, { ...sources, base: asFiles(other) });
    assert.equal(same, false);
    assert.deepEqual(files.filter(({ same }) => !same).map(({ name }) => name), ["tokenizer.json"]);
    const heavier = changed(receipt, (copy) => (copy.predicate.buildDefinition.externalParameters.adapters[0].weight = 0.25));
    assert.deepEqual((await repeat(heavier, sources)).files.filter(({ same }) => !same).map(({ name }) => name), ["model.safetensors"]);
    // Another adapter is told before anything is merged.
    const trained = { ...adapter, "adapter_model.safetensors": Buffer.concat([adapter["adapter_model.safetensors"]]) };
    const weights = trained["adapter_model.safetensors"];
    weights[weights.length - 1] = (weights.at(-1) ?? 0) ^ 1;
    const mistaken = { base: asFiles(base), adapters: [asFiles(trained)] };
    await assert.rejects(repeat(receipt, mistaken), (/** @type {any} */ error) => {
      const [now, then] = [sha256(weights), sha256(adapter["adapter_model.safetensors"])];
      assert.equal(error.message, `adapters[0]: it is not the receipt's: adapter_model.safetensors has sha256 ${now}, the receipt says ${then}; give the adapter that was merged`);
      return error.code === "wrong-input" && error.facts.found === now && error.facts.expected === then;
    });
    await writeFile(join(folder, "out", "config.json"), "{}");
    const damaged = await repeat(receipt, { ...sources, merged: join(folder, "out") });
    assert.deepEqual([damaged.same, damaged.files.find(({ name }) => name === "config.json")?.merged], [false, sha256(Buffer.from("{}"))]);
  });

  test("needs a receipt, and what it does not say", async () => {
    const { receipt } = await merge({ ...inputs(), receipt: true });
    assert.throws(() => mergeOptionsOf(receipt), { code: "bad-option", message: /base: the receipt does not say where it is; give it/ });
    assert.throws(() => mergeOptionsOf(receipt, { base: "b", adapters: ["a", "c"] }), { code: "bad-option" });
    assert.deepEqual(mergeOptionsOf(receipt, { base: "b", adapters: ["a"] }), { base: "b", adapters: [{ weight: 0.5, source: "a" }], hashBase: true });
    for (const [wrong, words] of /** @type {[unknown, RegExp][]} */ ([
      [null, /no in-toto statement/],
      [{ payloadType: "application/vnd.in-toto+json", payload: "" }, /envelope/],
      [changed(receipt, (copy) => (copy.predicateType = "https://slsa.dev/provenance/v0.2")), /predicate/],
      [changed(receipt, (copy) => (copy.predicate.buildDefinition.buildType = "https://example.org/x")), /another build/],
      [changed(receipt, (copy) => (copy.subject[0].digest = {})), /sha256/],
      [changed(receipt, (copy) => copy.subject.push(copy.subject[0])), /twice/],
      [changed(receipt, (copy) => (copy.predicate.buildDefinition.externalParameters.adapters = {})), /parameters/],
    ])) {
      await assert.rejects(repeat(wrong), (/** @type {any} */ error) => error.code === "bad-config" && words.test(error.message), String(words));
    }
    const unknown = changed(receipt, (copy) => (copy.predicate.buildDefinition.externalParameters.options.later = 1));
    await assert.rejects(repeat(unknown, { base: "b", adapters: ["a"] }), { code: "bad-option", message: /later/ });
  });
});

describe("of whole models", () => {
  /** The base, fine-tuned. @param {number} shift */
  function fineTuned(shift) {
    const weight = TENSORS.base[`${Q}.weight`] ?? assert.fail();
    const values = Array.from(weight.values ?? [], (value) => value + shift);
    return { ...base, "model.safetensors": buildSafetensors({ ...TENSORS.base, [`${Q}.weight`]: { ...weight, values } }) };
  }
  const tuned = fineTuned(0.5);

  test("a receipt has their hashes, and one that has changed is noticed", async (t) => {
    const cwd = await scratch(t);
    await writeFolder(join(cwd, "base"), base);
    await writeFolder(join(cwd, "tuned"), tuned);
    const { code, stderr } = await lorafold(["merge", "-b", "base", "-a", "tuned@0.5", "-o", "out", "--receipt", "receipt.json"], { cwd });
    assert.equal(code, 0, stderr);
    const receipt = JSON.parse(await readFile(join(cwd, "receipt.json"), "utf8"));
    assert.deepEqual(faultsOf(receipt), []);
    const { resolvedDependencies, externalParameters } = receipt.predicate.buildDefinition;
    const expected = { name: "model.safetensors", digest: { sha256: sha256(tuned["model.safetensors"]) }, annotations: { role: "adapter", adapter: 0 } };
    assert.deepEqual(resolvedDependencies.slice(1), [expected]);
    assert.equal(externalParameters.recipe.adapters[0].model.files[0].sha256, expected.digest.sha256);
    const again = () => lorafold(["verify", "--receipt", "receipt.json", "-b", "base", "-a", "tuned", "--merged", "out"], { cwd });
    assert.equal((await again()).code, 0);
    await writeFolder(join(cwd, "tuned"), fineTuned(0.25));
    const changed = await again();
    assert.equal(changed.code, 1);
    assert.match(changed.stdout, /^not the same: .*\n {2}model\.safetensors: repeated it has sha256/);
  });
});

describe("of the hub", () => {
  /** @type {Awaited<ReturnType<typeof fakeHub>>} */
  let hub;
  before(async () => void (hub = await fakeHub()));
  after(() => hub.close());

  test("a receipt says where everything is, and needs nothing else", async () => {
    const commit = hub.push("org/tiny", base);
    hub.push("org/lora", Object.fromEntries(Object.entries(adapter).map(([name, bytes]) => [`a folder/${name}`, bytes])));
    const context = createContext({ ...nodePlatform, hubToken: async () => undefined, network: { ...NETWORK, hubEndpoint: hub.url, retryDelays: [1] } });
    const api = createApi(() => context);
    const { receipt } = await api.merge({ base: "hf://org/tiny", adapters: ["hf://org/lora/a%20folder"], receipt: true });
    assert.deepEqual(faultsOf(receipt), []);
    const uris = receipt?.predicate.buildDefinition.resolvedDependencies.map(({ uri }) => uri) ?? [];
    assert.equal(uris[0], `hf://org/tiny/model.safetensors@${commit}`);
    assert.match(uris[1] ?? "", /^hf:\/\/org\/lora\/a%20folder\/adapter_config\.json@[0-9a-f]{40}$/);
    // The branch moves on; the receipt's commit does not.
    hub.push("org/tiny", { ...base, "config.json": Buffer.from("{}") });
    assert.equal((await api.repeat(receipt)).same, true);
  });
});

describe("on the command line", () => {
  /** @param {{ receipt: string, base: string, adapter: string, merged: string }} given @param {string[]} more */
  const verified = ({ receipt, base, adapter, merged }, ...more) => lorafold(["verify", "--receipt", receipt, "-b", base, "-a", adapter, "--merged", merged, ...more]);

  test("merge writes it, and it is verified", async (t) => {
    const cwd = await scratch(t);
    await writeFolder(join(cwd, "base"), base);
    await writeFolder(join(cwd, "adapter"), adapter);
    const { code, stderr } = await lorafold(["merge", "-b", "base", "-a", "adapter@0.5", "-o", "out", "--receipt", join("out", "lorafold.intoto.json")], { cwd });
    assert.equal(code, 0, stderr);
    const path = join(cwd, "out", "lorafold.intoto.json");
    const receipt = JSON.parse(await readFile(path, "utf8"));
    assert.deepEqual(faultsOf(receipt), []);
    const { "lorafold.intoto.json": _, ...files } = await snapshot(join(cwd, "out"));
    assert.deepEqual(Object.fromEntries(Object.entries(subjects(receipt)).sort()), files);
    assert.ok(!JSON.stringify(receipt).includes(cwd), "it has a path of this machine");
    const sources = { receipt: path, base: join(cwd, "base"), adapter: join(cwd, "adapter"), merged: join(cwd, "out") };
    const right = await verified(sources);
    assert.equal(right.code, 0, right.stderr);
    assert.equal(right.stdout, `the same: the merge of ${path} was repeated, 3 files\n`);
    await writeFile(join(cwd, "out", "tokenizer.json"), "x");
    const wrong = await verified(sources);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stdout, /^not the same: .*\n {2}tokenizer\.json: in the merged model it has sha256 2d711642/);
    assert.equal(JSON.parse((await verified(sources, "--json")).stdout).same, false);
  });

  test("parts have one together, which is that of the whole merge", async (t) => {
    const cwd = await scratch(t);
    await writeFolder(join(cwd, "base"), base);
    await writeFolder(join(cwd, "adapter"), adapter);
    const asked = ["merge", "-b", "base", "-a", "adapter@0.5"];
    assert.equal((await lorafold([...asked, "-o", "whole", "--receipt", "whole.json"], { cwd })).code, 0);
    for (const part of ["1/3", "2/3", "3/3"]) {
      const { code, stderr } = await lorafold([...asked, "-o", "out", "--part", part, "--receipt", "parts.json"], { cwd });
      assert.equal(code, 0, stderr);
    }
    // Before all are there nothing is written; without what was merged there is nothing to say.
    assert.ok(!Object.keys(await snapshot(cwd)).includes("parts.json"));
    assert.equal((await lorafold(["merge", "--finish", "-o", "out", "--receipt", "parts.json"], { cwd })).code, 2);
    const { code, stderr } = await lorafold([...asked, "--finish", "-o", "out", "--receipt", "parts.json"], { cwd });
    assert.equal(code, 0, stderr);
    const [whole, parts] = await Promise.all(["whole.json", "parts.json"].map(async (name) => JSON.parse(await readFile(join(cwd, name), "utf8"))));
    assert.deepEqual(faultsOf(parts), []);
    assert.deepEqual(parts, whole);
    // Parts that were merged without one do not record the hashes of the base.
    for (const part of ["1/2", "2/2"]) assert.equal((await lorafold([...asked, "-o", "other", "--part", part], { cwd })).code, 0);
    const other = await lorafold([...asked, "--finish", "-o", "other", "--receipt", "other.json"], { cwd });
    assert.deepEqual([other.code, /of another merge/.test(other.stderr)], [1, true], other.stderr);
  });

  test("it goes nowhere where it would replace something", async (t) => {
    const cwd = await scratch(t);
    await writeFolder(join(cwd, "base"), base);
    await writeFolder(join(cwd, "adapter"), adapter);
    for (const file of [join("base", "config.json"), join("out", "config.json"), join("nowhere", "x.json"), "base"]) {
      const { code, stderr } = await lorafold(["merge", "-b", "base", "-a", "adapter", "-o", "out", "--receipt", file], { cwd });
      assert.equal(code, 1, file);
      assert.match(stderr, /\[bad-option\]: --receipt: /, file);
    }
    assert.deepEqual(Object.keys(await snapshot(cwd)).sort(), ["adapter", "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "base", "base/config.json", "base/model.safetensors", "base/tokenizer.json"]);
  });
});
