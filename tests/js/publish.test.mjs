// @ts-check
// Files get their names when a merge ends: all of them or none, and never together with those of another merge.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readdir, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { merge } from "../../pkg/node.js";
import { newToken, parsePartial, partial } from "../../pkg/node/hidden.js";
import { lock, lockFile } from "../../pkg/node/lock.js";
import { publish } from "../../pkg/node/publish.js";
import { scratch, snapshot, writeFolder } from "./scratch.mjs";
import { tinyModel } from "./tiny-model.mjs";

/** A token of a process that has ended. */
function endedToken() {
  const script = `import { newToken } from ${JSON.stringify(new URL("../../pkg/node/hidden.js", import.meta.url).href)}; process.stdout.write(newToken())`;
  return execFileSync(process.execPath, ["--input-type=module", "--eval", script], { encoding: "utf8" });
}

/** @param {import("node:test").TestContext} t */
async function tiny(t) {
  const folder = await scratch(t);
  const { base, adapter } = tinyModel();
  const source = await writeFolder(join(folder, "adapter"), adapter);
  const options = (/** @type {number} */ weight) => ({ base: join(folder, "base"), adapters: [{ source, weight }], workers: 1 });
  await writeFolder(join(folder, "base"), base);
  const expected = [];
  for (const weight of [1, 2]) {
    await merge({ ...options(weight), output: join(folder, `whole-${weight}`) });
    expected.push(await snapshot(join(folder, `whole-${weight}`)));
  }
  return { out: join(folder, "out"), options, expected };
}

describe("two merges at once into one folder", () => {
  for (const force of [false, true]) {
    test(`leave one model, ${force ? "with" : "without"} force`, async (t) => {
      const { out, options, expected } = await tiny(t);
      /** @type {Promise<unknown> | undefined} */
      let second;
      const first = merge({ ...options(1), output: out, force, onProgress: () => void (second ??= merge({ ...options(2), output: out, force })) });
      const ends = await Promise.allSettled([first.then(() => 0), first.catch(() => undefined).then(() => second).then(() => 1)]);
      const done = ends.flatMap((end) => (end.status === "fulfilled" ? [expected[end.value]] : []));
      const found = await snapshot(out);
      assert.ok(done.some((model) => JSON.stringify(model) === JSON.stringify(found)), JSON.stringify(found));
      if (force) return;
      assert.equal(done.length, 1);
      for (const end of ends) if (end.status === "rejected") assert.equal(end.reason.code, "bad-option", String(end.reason));
    });
  }

  test("that both complete it: the second is refused until the first is done", async (t) => {
    const { out, options, expected } = await tiny(t);
    const held = lockFile(newToken());
    await writeFolder(out, { [held]: "" });
    await assert.rejects(merge({ ...options(1), output: out }), { code: "bad-option", message: /another merge/ });
    assert.deepEqual(await readdir(out), [held]);
    await rename(join(out, held), join(out, lockFile(endedToken())));
    await merge({ ...options(1), output: out });
    assert.deepEqual(await snapshot(out), expected[0]);
  });

  test("that both complete it: one that replaces the model waits for the other", async (t) => {
    const { out, options, expected } = await tiny(t);
    await mkdir(out);
    const unlock = await lock(out, 0);
    // Some looks after everything is merged.
    const onProgress = (/** @type {import("../../pkg/types.js").Progress} */ { bytes, total }) => void (bytes === total && setTimeout(unlock, 100));
    await merge({ ...options(2), output: out, force: true, onProgress });
    assert.deepEqual(await snapshot(out), expected[1]);
  });
});

describe("the lock", () => {
  test("of processes that were killed is taken over by one of many", async (t) => {
    const folder = await scratch(t);
    const ended = lockFile(endedToken());
    for (let round = 0; round < 20; round++) {
      await writeFile(join(folder, ended), "");
      let inside = 0;
      const enter = async () => {
        const unlock = await lock(folder, 10_000);
        assert.equal(++inside, 1, "two at once");
        await new Promise(setImmediate);
        inside--;
        await unlock();
      };
      await Promise.all([enter(), enter(), enter()]);
      assert.deepEqual(await readdir(folder), []);
    }
  });

  test("has an owner from its first moment, and is nowhere after a failure", async (t) => {
    const folder = await scratch(t);
    await lock(folder, 0);
    const [name] = await readdir(folder);
    assert.equal((await stat(join(folder, name))).size, 0);
    assert.equal(parsePartial(name)?.token.split("-")[1], String(process.pid));
    await assert.rejects(lock(join(folder, "nowhere"), 0), { name: "LorafoldError", code: "write-failed" });
  });
});

describe("hidden files in the output folder", () => {
  test("of merges that are at work, or elsewhere, stay", async (t) => {
    const { out, options, expected } = await tiny(t);
    const theirs = { [partial("model.safetensors", newToken())]: "of this process", [partial("model.safetensors", "00000000-1-00000000")]: "of another machine" };
    await writeFolder(out, theirs);
    await merge({ ...options(1), output: out });
    const found = await snapshot(out);
    for (const name of Object.keys(theirs)) assert.ok(found[name], name);
    assert.equal(Object.keys(found).length, Object.keys(expected[0]).length + 2);
  });

  test("of a merge that was killed go, also those that this one has not", async (t) => {
    const { out, options, expected } = await tiny(t);
    const token = endedToken();
    await writeFolder(out, { [partial("model.safetensors", token)]: "old", [partial("other.safetensors", token)]: "of another model" });
    await merge({ ...options(1), output: out });
    assert.deepEqual(await snapshot(out), expected[0]);
  });

  test("of something else are not touched, and are in the way without force", async (t) => {
    const { out, options, expected } = await tiny(t);
    await writeFolder(out, { ".x.safetensors.partial": "mine" });
    await assert.rejects(merge({ ...options(1), output: out }), { code: "bad-option", message: /not empty/ });
    assert.deepEqual(await readdir(out), [".x.safetensors.partial"]);
    await merge({ ...options(1), output: out, force: true });
    assert.deepEqual(Object.keys(await snapshot(out)).sort(), [".x.safetensors.partial", ...Object.keys(expected[0])].sort());
  });
});

test("names to which none could be added are set aside, too", async (t) => {
  const { out, options, expected } = await tiny(t);
  await writeFolder(out, { "config.json": "old", [`${"x".repeat(220)}-00001-of-00001.safetensors`]: "old" });
  await merge({ ...options(1), output: out, force: true });
  assert.deepEqual(await snapshot(out), expected[0]);
});

describe("names that cannot be given", () => {
  const old = { "config.json": "old", "model.safetensors": "old", "tokenizer.json": "old" };

  test("are taken back", async (t) => {
    const folder = await scratch(t);
    const files = ["config.json", "model.safetensors", "tokenizer.json"].map((name) => ({ name, size: 3 }));
    await writeFolder(folder, Object.fromEntries(files.map(({ name }) => [partial(name), "new"])));
    await writeFolder(join(folder, "tokenizer.json"), { "in-the-way": "" });
    const before = await snapshot(folder);
    await assert.rejects(publish(folder, files, { force: false }), { name: "LorafoldError", code: "write-failed" });
    assert.deepEqual(await snapshot(folder), before);
    await rm(join(folder, "tokenizer.json"), { recursive: true });
    await publish(folder, files, { force: false });
    assert.deepEqual(await readdir(folder), files.map(({ name }) => name));
  });

  test("are seen before the merge, where weights of the old model are a folder", async (t) => {
    const { out, options } = await tiny(t);
    await writeFolder(out, old);
    await mkdir(join(out, "old-00001-of-00001.safetensors"));
    const before = await snapshot(out);
    let begun = false;
    await assert.rejects(merge({ ...options(1), output: out, force: true, onProgress: () => (begun = true) }), { code: "bad-option", message: /old-00001-of-00001\.safetensors is a folder/ });
    assert.ok(!begun);
    assert.deepEqual(await snapshot(out), before);
  });
});

test("a file of any size is a Blob that is not in memory", async (t) => {
  const folder = await scratch(t);
  // More than can be read at once, and sparse.
  const file = { name: "model.safetensors", size: 3 * 2 ** 30 };
  const path = join(folder, partial(file.name));
  await writeFile(path, "first");
  await truncate(path, file.size);
  const [named] = await publish(folder, [file], { force: false });
  const blob = await named.blob();
  assert.equal(blob.size, file.size);
  assert.equal(await blob.slice(0, 5).text(), "first");
  assert.equal((await blob.slice(file.size - 9).arrayBuffer()).byteLength, 9);
});
