// @ts-check
// An output folder that holds something already: never replaced unasked, and never the merge's own input.
import assert from "node:assert/strict";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { lorafold } from "./command.mjs";
import { fixture, mergeArguments } from "./fixture.mjs";
import { scratch, snapshot, writeFolder } from "./scratch.mjs";
import { tinyModel } from "./tiny-model.mjs";

/** @param {import("node:test").TestContext} t */
async function tiny(t) {
  const folder = await scratch(t);
  const { base, adapter } = tinyModel();
  return {
    folder,
    base: await writeFolder(join(folder, "base"), base),
    adapter: await writeFolder(join(folder, "adapter"), adapter),
    out: join(folder, "out"),
  };
}

/** @param {string[]} words @param {string} code @param {import("node:child_process").SpawnOptions} [options] */
async function refused(words, code, options) {
  const ended = await lorafold([...words, "--json"], options);
  assert.equal(ended.code, 1, ended.stdout);
  const { error } = JSON.parse(ended.stdout);
  assert.equal(error.code, code, error.message);
  return error.message;
}

describe("an output folder with something in it", { concurrency: 2 }, () => {
  test("is left alone without --force", async (t) => {
    const { folder, base, adapter, out } = await tiny(t);
    await writeFolder(out, { "notes.txt": "mine" });
    const before = await snapshot(folder);
    const message = await refused(["merge", "--base", base, "--adapter", adapter, "--out", out], "bad-option");
    assert.match(message, /not empty.*force/);
    assert.deepEqual(await snapshot(folder), before);
  });

  test("is used when it is empty", async (t) => {
    const { base, adapter, out } = await tiny(t);
    await mkdir(out);
    assert.equal((await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", out])).code, 0);
  });

  test("that is a file, or below one, is refused", async (t) => {
    const { folder, base, adapter, out } = await tiny(t);
    await writeFile(out, "a file");
    const before = await snapshot(folder);
    for (const path of [out, join(out, "below")]) {
      for (const force of [[], ["--force"]]) {
        const message = await refused(["merge", "--base", base, "--adapter", adapter, "--out", path, ...force], "bad-option");
        assert.ok(message.includes(out));
      }
    }
    assert.deepEqual(await snapshot(folder), before);
  });

  test("loses the model in it with --force, and keeps the rest", async (t) => {
    const { folder, base, adapter, out } = await tiny(t);
    const sharded = fixture("sharded");
    assert.equal((await lorafold([...mergeArguments(sharded), "--out", out])).code, 0);
    await writeFile(join(out, "notes.txt"), "mine");
    await writeFile(join(out, "adapter_model.safetensors"), "not of this model");
    // transformers would add that adapter to the merged model.
    await writeFile(join(out, "adapter_config.json"), "{}");
    const words = ["merge", "--base", base, "--adapter", adapter, "--out"];
    assert.equal((await lorafold([...words, out, "--force"])).code, 0);
    const clean = join(folder, "clean");
    assert.equal((await lorafold([...words, clean])).code, 0);
    const found = await snapshot(out);
    const expected = await snapshot(clean);
    for (const [name, hash] of Object.entries(expected)) assert.equal(found[name], hash, name);
    const others = Object.keys(found).filter((name) => !(name in expected));
    assert.deepEqual(others, ["adapter_model.safetensors", "generation_config.json", "notes.txt"], "stale shards and their index are gone");
  });

  test("loses no weights with --force that are not the model's", async (t) => {
    const { base, adapter, out } = await tiny(t);
    const foreign = { "my-other-lora.safetensors": "mine", "sd15.safetensors": "mine", "sd15-2-of-3.safetensors": "mine" };
    const index = JSON.stringify({ weight_map: { a: "first.safetensors", b: 5, c: "../first.safetensors", d: "notes.txt" } });
    await writeFolder(out, { ...foreign, "notes.txt": "mine", "model.safetensors.index.json": index, "first.safetensors": "old", "x-00002-of-00003.safetensors": "old", "y.safetensors.index.json": "?" });
    await writeFile(join(out, "..", "first.safetensors"), "mine");
    assert.equal((await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", out, "--force"])).code, 0);
    assert.deepEqual(Object.keys(await snapshot(out)), ["config.json", "model.safetensors", "notes.txt", "tokenizer.json", ...Object.keys(foreign)].sort());
    assert.ok((await snapshot(join(out, "..")))["first.safetensors"]);
  });

  test("keeps its model when the merge that would replace it fails", async (t) => {
    const { base, adapter, out } = await tiny(t);
    const words = ["merge", "--base", base, "--adapter", adapter, "--out", out];
    assert.equal((await lorafold(words)).code, 0);
    const before = await snapshot(out);
    await refused([...words, "--force", "--adapter", `${adapter}@1e39`], "non-finite");
    assert.deepEqual(await snapshot(out), before);
  });

  test("keeps its model when a name of the new one is taken by a folder", async (t) => {
    const { base, adapter, out } = await tiny(t);
    await writeFolder(out, { "model.safetensors": "old", "config.json": "old" });
    await mkdir(join(out, "tokenizer.json"));
    const before = await snapshot(out);
    await refused(["merge", "--base", base, "--adapter", adapter, "--out", out, "--force"], "bad-option");
    assert.deepEqual(await snapshot(out), before);
  });
});

describe("an output folder that is an input", { concurrency: 2 }, () => {
  test("that links of the base lead to", async (t) => {
    const { folder, base, adapter } = await tiny(t);
    const links = join(folder, "links");
    await mkdir(links);
    for (const name of ["config.json", "model.safetensors"]) await symlink(join(base, name), join(links, name));
    const before = await snapshot(base);
    await refused(["merge", "--base", links, "--adapter", adapter, "--out", base, "--force"], "bad-option");
    assert.deepEqual(await snapshot(base), before);
  });

  /** @type {[string, (paths: { folder: string, base: string, adapter: string }) => Promise<string> | string][]} */
  const spellings = [
    ["the base", ({ base }) => base],
    ["the base, with a slash", ({ base }) => `${base}/`],
    ["the base, the long way", ({ base, adapter }) => join(base, "x").replace(/x$/, `../${adapter.split("/").at(-1)}/../base`)],
    ["the base, from the folder above", () => "base"],
    ["a link to the base", async ({ folder, base }) => {
      await symlink(base, join(folder, "link"));
      return join(folder, "link");
    }],
    ["the adapter", ({ adapter }) => adapter],
  ];
  for (const [name, spell] of spellings) {
    test(`${name} is refused, even with --force`, async (t) => {
      const paths = await tiny(t);
      const out = await spell(paths);
      const before = await snapshot(paths.folder);
      for (const [source, force] of /** @type {[string, string[]][]} */ ([[paths.base, []], [paths.base, ["--force"]], [join(paths.base, "model.safetensors"), ["--force"]]])) {
        const words = ["merge", "--base", source, "--adapter", paths.adapter, "--out", out, ...force];
        const message = await refused(words, "bad-option", { cwd: paths.folder });
        if (force.length > 0) assert.match(message, /reads|input/);
      }
      assert.deepEqual(await snapshot(paths.folder), before);
    });
  }

  test("a folder inside the base is not", async (t) => {
    const { folder, base, adapter, out } = await tiny(t);
    for (const path of [join(base, "merged"), out]) {
      assert.equal((await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", path])).code, 0);
    }
    assert.deepEqual(await snapshot(join(base, "merged")), await snapshot(out));
    assert.ok((await snapshot(folder))["base/model.safetensors"]);
  });

  test("a link among the output's files is replaced, not what it leads to", async (t) => {
    const { base, adapter, out } = await tiny(t);
    const before = await snapshot(base);
    await mkdir(out);
    await symlink(join(base, "model.safetensors"), join(out, "model.safetensors"));
    assert.equal((await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", out, "--force"])).code, 0);
    assert.deepEqual(await snapshot(base), before);
  });
});
