// @ts-check
// A merge that is stopped by a signal leaves nothing that looks finished.
import assert from "node:assert/strict";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { lorafold, start } from "./command.mjs";
import { largeModel } from "./large-model.mjs";
import { scratch, snapshot, writeFolder } from "./scratch.mjs";
import { tinyModel } from "./tiny-model.mjs";

const PARTIAL = /^\.model\.safetensors\.[^.]+\.partial$/;

/** Bytes of the unfinished weights that are on the disk. @param {string} out */
async function written(out) {
  const name = (await readdir(out).catch(() => [])).find((name) => PARTIAL.test(name));
  return (name && (await stat(join(out, name)).catch(() => undefined))?.blocks) || 0;
}

/** Start a merge of 2 GB, and wait until its weights are being written. @param {import("node:test").TestContext} t @param {string[]} more */
async function started(t, more = []) {
  const folder = await scratch(t);
  const { base, adapter } = await largeModel(folder, { rows: 500_000, cols: 2048 });
  const out = join(folder, "deep", "out");
  const { child, ended } = start(["merge", "--base", base, "--adapter", adapter, "--out", out, ...more]);
  t.after(() => child.kill("SIGKILL"));
  let over = false;
  void ended.then(() => (over = true));
  while (!over && (await written(out)) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(!over, "it is still running");
  return { folder, base, adapter, out, child, ended };
}

describe("signals", () => {
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
    for (const workers of ["0", "2"]) {
      test(`${signal} with ${workers} workers stops the merge with status 130, and nothing is left`, async (t) => {
        const { folder, child, ended } = await started(t, ["--workers", workers, "--json"]);
        child.kill(signal);
        const { code, stdout, stderr } = await ended;
        assert.equal(code, 130);
        assert.equal(JSON.parse(stdout).error.code, "aborted");
        assert.match(stderr, /error \[aborted\]/);
        assert.deepEqual((await readdir(folder)).sort(), ["adapter", "base"]);
      });
    }
  }

  test("SIGKILL leaves hidden, unfinished files, which the next merge replaces", async (t) => {
    const { folder, out, child, ended } = await started(t);
    child.kill("SIGKILL");
    assert.equal((await ended).signal, "SIGKILL");
    const left = await readdir(out);
    assert.ok(left.some((name) => PARTIAL.test(name)));
    for (const name of left) assert.match(name, /^\..+\.partial$/);
    const inspected = await lorafold(["inspect", out, "--json"]);
    assert.equal(JSON.parse(inspected.stdout)[0].error.code, "wrong-input");

    // Another base: what was left of the first one does not stay.
    const model = tinyModel();
    const tiny = { base: await writeFolder(join(folder, "tiny"), model.base), adapter: await writeFolder(join(folder, "tiny-lora"), model.adapter) };
    const again = await lorafold(["merge", "--base", tiny.base, "--adapter", tiny.adapter, "--out", out]);
    assert.equal(again.code, 0, again.stderr);
    assert.deepEqual(Object.keys(await snapshot(out)), ["config.json", "model.safetensors", "tokenizer.json"]);
  });
});
