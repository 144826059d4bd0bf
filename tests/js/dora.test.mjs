// @ts-check
// DoRA needs whole rows of a weight, or the norms of all its columns before any block of it: neither shows, however the work is shared out.
// That the numbers are PEFT's: fixtures.test.mjs.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createApi } from "../../pkg/api.js";
import { createContext } from "../../pkg/context.js";
import { nodePlatform } from "../../pkg/node/context.js";
import { finishParts, merge, mergePart, openMerged } from "../../pkg/node.js";
import { serve } from "../browser/serve.mjs";
import { doraModel } from "./dora-model.mjs";
import { random } from "./numbers.mjs";
import { hashes, scratch, sha256, snapshot } from "./scratch.mjs";

/** @type {Awaited<ReturnType<typeof doraModel>>} */
let model;
/** @type {string} */
let folder;
let remove = async () => {};
before(async () => {
  folder = await scratch({ after: (hook) => void (remove = hook) });
  model = await doraModel(folder);
});
after(() => remove());

const COMBINATIONS = {
  "one adapter": () => [model.one],
  "three adapters, one of them plain": () => [{ source: model.one, weight: 0.6 }, { source: model.plain, weight: 0.8 }, { source: model.other, weight: -0.3 }],
};

for (const [name, adapters] of Object.entries(COMBINATIONS)) {
  describe(name, () => {
    /** @type {{ base: string, adapters: ReturnType<typeof adapters> }} */
    let options;
    /** @type {Record<string, string>} */
    let expected;
    before(async () => {
      options = { base: model.base, adapters: adapters() };
      expected = await hashes(await merge({ ...options, workers: 1 }));
    });

    test("workers and blocks do not show", async () => {
      for (const workers of [0, 1, 2, 3]) {
        for (const memoryBudget of [9 << 20, undefined]) {
          const merged = await merge({ ...options, workers, ...(memoryBudget && { memoryBudget }) });
          assert.deepEqual(await hashes(merged), expected, `${workers} workers, ${memoryBudget} bytes`);
        }
      }
    });

    test("nor do they show in the statistics", async () => {
      const reports = [];
      for (const workers of [0, 1, 3]) reports.push((await merge({ ...options, workers, statistics: true })).report);
      for (const report of reports) assert.deepEqual(report, reports[0]);
      const [tensor] = reports[0].tensors.filter(({ action }) => action === "merge");
      assert.ok(tensor.statistics && Number(tensor.statistics.relativeNorm) > 0.1 && Number(tensor.statistics.changed) > 0.9);
      assert.deepEqual(/** @type {any[]} */ (tensor.adapters).map(({ method }) => method), adapters().length === 1 ? ["dora"] : ["dora", "lora", "dora"]);
    });

    test("parts do not show", async (t) => {
      const output = join(await scratch(t), "out");
      for (const part of [3, 1, 4, 2, 1]) await mergePart({ ...options, output, workers: part % 3 }, { part, of: 4 });
      await finishParts(output);
      assert.deepEqual(await snapshot(output), expected);
    });

    test("any range of a model that is merged as it is read", async () => {
      const [{ blob }] = (await merge(options)).files.filter(({ name }) => name === "model.safetensors");
      const whole = Buffer.from(await (await blob()).arrayBuffer());
      assert.equal(sha256(whole), expected["model.safetensors"]);
      const next = random(8);
      for (const blockBytes of [512 << 10, 1 << 20]) {
        const opened = await createApi(() => createContext({ ...nodePlatform, blockBytes })).openMerged(options);
        // Many at once: each may be the first that needs the norms.
        await Promise.all(Array.from({ length: 40 }, async (_, turn) => {
          const start = Math.floor(next() * whole.length);
          const end = turn % 3 === 0 ? start + 1 : start + Math.ceil(next() ** 3 * (whole.length - start));
          assert.ok(whole.subarray(start, end).equals(await opened.read("model.safetensors", start, end)), `${start}..${end}`);
        }));
        opened.close();
      }
    });
  });
}

test("a byte costs a row of the base, and the norms of columns are gathered once", async (t) => {
  const server = await serve({ "/": folder });
  t.after(server.close);
  const opened = await openMerged({ base: `${server.origin}/base/`, adapters: [model.one] });
  t.after(() => opened.close());
  const file = await readFile(join(model.base, "model.safetensors"));
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + length));
  const size = Number(opened.files.find(({ name }) => name === "model.safetensors")?.size);
  /** Bytes of the base that a read of one byte takes. @param {string} tensor @param {number} at */
  const cost = async (tensor, at) => {
    const begin = server.requests.length;
    // The output has the base's order, and only its header is longer.
    const start = size - file.length + 8 + length + header[tensor].data_offsets[0] + at;
    await opened.read("model.safetensors", start, start + 1);
    return server.requests.slice(begin).map(({ range }) => /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? []).reduce((sum, [, from, to]) => sum + Number(to) - Number(from) + 1, 0);
  };
  const [linear, conv1d] = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.c_fc.weight"];
  assert.equal(await cost(linear, 123_456), 2 * 1100);
  assert.equal(await cost(conv1d, 123_456), 2 * 1100 * 700 + 2 * 700);
  assert.equal(await cost(conv1d, 654_321), 2 * 700);
});
