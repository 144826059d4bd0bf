// @ts-check
// A directory handle as output: what is in it already is replaced as a whole or not at all, as far as a browser lets it.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { merge } from "../../pkg/node.js";
import { adapterOptions, fixture } from "./fixture.mjs";
import { memoryDirectory } from "./memory-directory.mjs";
import { hashes, sha256 } from "./scratch.mjs";

const made = fixture("sharded");
const sample = { base: made.base, adapters: adapterOptions(made), workers: 0 };
const INDEX = "model.safetensors.index.json";
/** Weights that only the old model has. */
const OLD = "old-00001-of-00001.safetensors";
const refuses = (/** @type {string} */ wanted, kind = "QuotaExceededError") => (/** @type {string} */ name) => {
  if (name === wanted || wanted === "*") throw new DOMException("not now", kind);
};

/** @param {import("./memory-directory.mjs").Faults} faults @param {string[]} names what an old model has */
const oldModel = (faults, names) => memoryDirectory(Object.fromEntries(names.map((name) => [name, `old ${name}`])), faults);

/** @param {ReturnType<typeof memoryDirectory>} output @param {Partial<import("../../pkg/types.js").MergeOptions>} [more] */
const into = (output, more) => merge({ ...sample, output: /** @type {any} */ (output), ...more });

/** @param {ReturnType<typeof memoryDirectory>} directory */
const texts = ({ store }) => Object.fromEntries([...store].map(([name, bytes]) => [name, bytes.toString()]));

describe("a model that is replaced", () => {
  /** @type {Record<string, string>} */
  let expected;
  /** @type {string[]} */
  let names;
  /** @type {string[]} */
  let shards;
  test("is the merged model then, and no more of the old one than what is no part of a model", async () => {
    expected = await hashes(await merge(sample));
    names = Object.keys(expected);
    shards = names.filter((name) => name.endsWith(".safetensors"));
    assert.ok(shards.length > 1 && names.includes(INDEX) && names.includes("config.json"));
    const foreign = ["notes.txt", "my-other-lora.safetensors", "adapter_model-00001-of-00002.safetensors"];
    const directory = oldModel({}, [...names, OLD, "indexed.safetensors", "other.safetensors.index.json", "adapter_config.json", ...foreign]);
    directory.store.set(INDEX, Buffer.from(JSON.stringify({ weight_map: { a: "indexed.safetensors" } })));
    await into(directory, { force: true });
    for (const name of foreign) {
      assert.equal(directory.store.get(name)?.toString(), `old ${name}`);
      directory.store.delete(name);
    }
    assert.deepEqual(Object.fromEntries([...directory.store].map(([name, bytes]) => [name, sha256(bytes)])), expected);
  });

  test("is what it was when nothing of it was replaced yet", async () => {
    const old = ["config.json", INDEX, shards[0], "other.safetensors.index.json"];
    for (const name of [...shards, "config.json"]) {
      // One shard is there and one is new; an index of other weights is emptied before them.
      const directory = oldModel({ close: refuses(name) }, name === "config.json" ? ["config.json", "notes.txt"] : old);
      const before = texts(directory);
      await assert.rejects(into(directory, { force: true }), { code: "out-of-space" }, name);
      assert.deepEqual(texts(directory), before, name);
    }
  });

  test("is none any more when the merge fails in the middle of it, not a mixture", async () => {
    for (const [step, name] of [["close", shards[1]], ["close", INDEX], ["close", "config.json"], ["removeEntry", OLD]]) {
      let emptied = 0;
      // The configuration and the index are closed twice: emptied, and written.
      const fault = (/** @type {string} */ closed) => {
        if (closed === name && (name.endsWith(".json") ? ++emptied === 2 : true)) throw new DOMException("not now", "QuotaExceededError");
      };
      const directory = oldModel({ [step]: fault }, [...names, OLD]);
      await assert.rejects(into(directory, { force: true }), { name: "LorafoldError", code: "out-of-space" });
      assert.equal(directory.store.get("config.json")?.length, 0, `${step} ${name}`);
    }
  });
});

test("a directory that the merge reads is refused", async () => {
  const files = Object.fromEntries(await Promise.all((await merge(sample)).files.map(async ({ name, blob }) => [name, Buffer.from(await (await blob()).arrayBuffer())])));
  const base = memoryDirectory(files);
  for (const output of [base, base.again()]) {
    await assert.rejects(into(output, { base: /** @type {any} */ (base), force: true, maxShardSize: 10_000 }), { code: "bad-option", message: /the merge reads/ });
    assert.deepEqual([...base.store.keys()], Object.keys(files));
  }
  const other = memoryDirectory();
  await into(other, { base: /** @type {any} */ (base) });
  assert.equal(other.store.size, base.store.size);
});

describe("what a browser refuses is said in words", () => {
  for (const [how, faults, says] of /** @type {[string, import("./memory-directory.mjs").Faults, RegExp][]} */ ([
    ["to list", { keys: refuses("*", "NotAllowedError") }, /^in memory: the permission for it was refused.*choose the folder again/],
    ["to make a file", { getFileHandle: refuses("config.json", "SecurityError") }, /^config\.json: this page is not permitted/],
    ["to write to a file", { createWritable: refuses("config.json", "NoModificationAllowedError") }, /^config\.json: another tab or program has it open/],
    ["to take a folder for a file", { getFileHandle: refuses(INDEX, "TypeMismatchError") }, /index\.json: a folder is where a file should be/],
  ])) {
    test(how, async () => {
      const directory = memoryDirectory({}, faults);
      await assert.rejects(into(directory), { name: "LorafoldError", code: "write-failed", message: says });
      assert.equal(directory.store.size, 0, "something is left");
    });
  }

  test("to read a base", async () => {
    const base = /** @type {any} */ (memoryDirectory({}, { values: refuses("*", "NotAllowedError") }));
    await assert.rejects(merge({ ...sample, base }), { name: "LorafoldError", code: "fetch-failed", message: /^in memory: the permission for it was refused/ });
  });
});
