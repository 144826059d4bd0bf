// @ts-check
// Whatever is wrong is refused with its code and a message that names it, and leaves nothing behind.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { inspect, merge, openMerged } from "../../pkg/node.js";
import { lorafold } from "./command.mjs";
import { ADAPTERS } from "./malformed-adapters.mjs";
import { BASES } from "./malformed-bases.mjs";
import { OPTIONS, overflowing } from "./malformed-options.mjs";
import { readModel, valuesOf } from "./safetensors-file.mjs";
import { scratch, snapshot, writeFolder } from "./scratch.mjs";
import { asFiles, Q, tinyModel } from "./tiny-model.mjs";

/** @param {string} folder @param {import("./mutation.mjs").Malformed["change"]} change */
async function written(folder, change) {
  const model = tinyModel();
  change?.(model);
  return {
    base: await writeFolder(join(folder, "base"), model.base),
    adapter: await writeFolder(join(folder, "adapter"), model.adapter),
    out: join(folder, "out", "merged"),
  };
}

/** @param {string} what @param {import("./mutation.mjs").Malformed[]} table */
function refused(what, table) {
  describe(what, { concurrency: 2 }, () => {
    for (const { name, change, args = [], command, code, exit = code === undefined ? 2 : 1, says } of table) {
      test(name, async (t) => {
        const folder = await scratch(t);
        const paths = await written(folder, change);
        const before = await snapshot(folder);
        const words = command?.(paths) ?? ["merge", "--base", paths.base, "--adapter", paths.adapter, "--out", paths.out, ...args];
        const ended = await lorafold([...words, "--json"]);
        assert.equal(ended.code, exit, ended.stderr);
        if (code === undefined) {
          const [line] = ended.stderr.split("\n");
          assert.match(line, /^lorafold merge: /);
          for (const word of says) assert.ok(line.includes(word), `${line} names ${word}`);
        } else {
          const { error } = JSON.parse(ended.stdout);
          assert.equal(error.code, code, error.message);
          for (const word of says) assert.ok(error.message.includes(word), `${error.message} names ${word}`);
          assert.equal(ended.stderr, `lorafold: error [${code}]: ${error.message}\n`);
        }
        assert.deepEqual(await snapshot(folder), before, "nothing is left behind, and the inputs are as they were");
      });
    }
  });
}

test("there are more than fifty of them, each of a name of its own", () => {
  const tables = [BASES, ADAPTERS, OPTIONS];
  assert.ok(tables.flat().length > 150);
  for (const table of tables) assert.equal(new Set(table.map(({ name }) => name)).size, table.length);
});

refused("malformed bases", BASES);
refused("malformed adapters", ADAPTERS);
refused("impossible options", OPTIONS);

describe("the model that they are made from", () => {
  test("merges", async (t) => {
    const folder = await scratch(t);
    const { base, adapter, out } = await written(folder, undefined);
    const ended = await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", out, "--json"]);
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal(JSON.parse(ended.stdout).merged, 2);
  });

  test("merges beyond f16 with --allow-nonfinite", async (t) => {
    const folder = await scratch(t);
    const { base, adapter, out } = await written(folder, overflowing);
    const ended = await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", out, "--only", "q_proj", "--allow-nonfinite"]);
    assert.equal(ended.code, 0, ended.stderr);
    const tensor = readModel(out).get(`${Q}.weight`);
    assert.ok(tensor);
    assert.deepEqual([...valuesOf(tensor)].flatMap((value, i) => (Number.isFinite(value) ? [] : [[i, value]])), [[13, Infinity]]);
  });

  test("merges past keys and patterns without a partner with --allow-unmatched", async (t) => {
    const folder = await scratch(t);
    for (const name of ["a module that the base does not have", "rank_pattern that matches nothing"]) {
      const { base, adapter } = await written(join(folder, name), ADAPTERS.find((row) => row.name === name)?.change);
      const ended = await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", join(folder, name, "out"), "--allow-unmatched", "--json"]);
      assert.equal(ended.code, 0, ended.stderr);
      const { merged, findings } = JSON.parse(ended.stdout);
      assert.equal(merged, 2);
      assert.ok(findings.some((/** @type {any} */ finding) => /^unmatched-/.test(finding.code)), name);
    }
  });
});

test("impossible options of the API", async () => {
  const { base, adapter } = tinyModel();
  const options = { base: asFiles(base), adapters: [asFiles(adapter)], workers: 0 };
  for (const [wrong, names] of /** @type {[any, RegExp][]} */ ([
    [undefined, /^base: /],
    [{}, /^base: /],
    [{ ...options, adapters: "x" }, /^adapters: /],
    [{ ...options, signal: {} }, /^signal: /],
    [{ ...options, signal: null }, /^signal: /],
    [{ ...options, onProgress: 5 }, /^onProgress: /],
    [{ ...options, workers: 0.5 }, /^workers: /],
    [{ ...options, workers: 1e9 }, /^workers: 1000000000 is not a whole number up to 1024$/],
    [{ ...options, workers: "2" }, /^workers: "2" is not /],
    [{ ...options, memoryBudget: "64MiB" }, /^memoryBudget: "64MiB" is not a number of bytes$/],
    [{ ...options, memoryBudget: Number.NaN }, /^memoryBudget: NaN is not a number of bytes$/],
    [{ ...options, adapters: [{ source: asFiles(adapter), weight: "2" }] }, /^adapters\[0\]\.weight: "2" is not a finite number$/],
  ])) {
    await assert.rejects(merge(wrong), { name: "LorafoldError", code: "bad-option", message: names });
  }
  assert.equal((await inspect(asFiles(base), /** @type {any} */ (null))).kind, "base");
  const model = await openMerged({ base: options.base, adapters: options.adapters });
  const [{ name }] = model.files;
  assert.equal((await model.read(name, 0, 10, /** @type {any} */ (null))).length, 10);
  await assert.rejects(model.read(name, 0, 10, { signal: /** @type {any} */ (5) }), { name: "LorafoldError", code: "bad-option", message: /^signal: / });
  await assert.rejects(model.response(/** @type {any} */ (undefined)), { name: "LorafoldError", code: "bad-option", message: /^request: / });
  model.close();
  await assert.rejects(inspect(asFiles(base), { signal: /** @type {any} */ (5) }), { name: "LorafoldError", code: "bad-option", message: /^signal: / });
});
