// @ts-check
// The same inputs give the same bytes, wherever they come from, wherever they go, and however the work is shared out.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { merge, plan } from "../../pkg/node.js";
import { serve } from "../browser/serve.mjs";
import { adapterOptions, fixture, FIXTURES } from "./fixture.mjs";
import { random } from "./numbers.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";
import { scriptedServer, whole } from "./scripted-server.mjs";
import { hashes, scratch, sha256, snapshot, writeFolder } from "./scratch.mjs";
import { asFiles, factor, Q, randomModel, tinyModel } from "./tiny-model.mjs";

/** @typedef {import("../../pkg/types.js").SourceLike} SourceLike */
/** @typedef {import("../../pkg/types.js").MergeOptions} MergeOptions */
/** @typedef {{ size: number, parts: Uint8Array[], closed: boolean }} Taken what a stream was given */

/** @param {string} folder @returns {Promise<Record<string, Buffer>>} */
async function readFolder(folder) {
  const names = (await readdir(folder)).sort();
  return Object.fromEntries(await Promise.all(names.map(async (name) => /** @type {const} */ ([name, await readFile(join(folder, name))]))));
}

/** A source of a caller's own. @param {Record<string, Uint8Array>} files @returns {import("../../pkg/types.js").Source} */
const custom = (files) => ({
  list: async () => Object.entries(files).map(([name, { length }]) => ({ name, size: length })),
  read: async (name, start, end) => files[name].slice(start, end),
});

test("a weight of seventeen digits arrives with every bit", async () => {
  const made = fixture("linear-r4");
  const weight = 11.313708498984761;
  const { adapters } = await plan({ base: made.base, adapters: [{ source: made.adapters[0].path, weight }] });
  assert.equal(adapters[0].weight, weight);
});

describe("where inputs come from", () => {
  const made = fixture("sharded");
  const [{ path: adapter, weight }] = made.adapters;
  /** @type {Record<string, string>} */
  let expected;
  before(async () => {
    expected = await hashes(await merge({ base: made.base, adapters: adapterOptions(made), workers: 1 }));
  });

  /** @param {SourceLike} base @param {SourceLike} source @param {Partial<MergeOptions>} [more] */
  async function same(base, source, more = {}) {
    for (const workers of [0, 2]) {
      const result = await merge({ base, adapters: [{ source, weight }], workers, ...more });
      assert.deepEqual(await hashes(result), expected, `${workers} workers`);
    }
  }

  test("file URLs", () => same(new URL(`file://${made.base}`), `file://${adapter}`));
  test("a path that ends with a slash", () => same(`${made.base}/`, `${adapter}/`));
  test("File objects", async () => same(asFiles(await readFolder(made.base)), asFiles(await readFolder(adapter))));
  test("File objects in another order", async () =>
    same(asFiles(await readFolder(made.base)).reverse(), asFiles(await readFolder(adapter)).reverse()));
  test("a source of one's own", async () => same(custom(await readFolder(made.base)), custom(await readFolder(adapter))));
  test("a mixture", async () => same(custom(await readFolder(made.base)), adapter));

  for (const ranges of [true, false]) {
    test(`a server ${ranges ? "with" : "without"} ranges`, async (t) => {
      const server = await serve(FIXTURES, { ranges });
      t.after(server.close);
      await same(`${server.origin}/sharded/base/`, `${server.origin}/sharded/adapter`);
      const weights = server.requests.filter(({ path }) => path.includes("/model-0000"));
      if (ranges) assert.ok(weights.every(({ status }) => status === 206));
      else assert.ok(weights.every(({ status }) => status === 200));
    });
  }

  test("a server without ranges that says how long files are", async (t) => {
    const files = { ...prefixed("base/", await readFolder(made.base)), ...prefixed("adapter/", await readFolder(adapter)) };
    const server = await scriptedServer(files, whole);
    t.after(server.close);
    await same(`${server.url}base`, new URL(`${server.url}adapter/`));
  });

  test("the URL of a single file, and its adapter's", async (t) => {
    const server = await serve(FIXTURES);
    t.after(server.close);
    const one = fixture("linear-r8");
    const plain = await merge({ base: join(one.base, "model.safetensors"), adapters: adapterOptions(one), workers: 0 });
    assert.deepEqual(plain.files.map(({ name }) => name), ["model.safetensors"]);
    const urls = { base: `${server.origin}/linear-r8/base/model.safetensors`, adapter: `${server.origin}/linear-r8/adapter/adapter_model.safetensors` };
    for (const workers of [0, 2]) {
      const result = await merge({ base: urls.base, adapters: [urls.adapter], workers });
      assert.deepEqual(await hashes(result), await hashes(plain));
    }
  });

  test("one Blob, and an adapter file with its alpha", async () => {
    const one = fixture("linear-r8");
    const plain = await merge({ base: join(one.base, "model.safetensors"), adapters: adapterOptions(one), workers: 0 });
    const blob = async (/** @type {string} */ path) => new Blob([await readFile(path)]);
    const source = await blob(join(one.adapters[0].path, "adapter_model.safetensors"));
    const [{ alpha }] = Object.values(one.adapters[0].scales);
    const result = await merge({ base: await blob(join(one.base, "model.safetensors")), adapters: [{ source, alpha }], workers: 0 });
    const data = async (/** @type {typeof plain} */ from) => {
      const bytes = Buffer.from(await (await from.files[0].blob()).arrayBuffer());
      return sha256(bytes.subarray(8 + Number(bytes.readBigUInt64LE(0))));
    };
    // The recipe in the header names the configuration that one of them has; the numbers are the same.
    assert.equal(await data(result), await data(plain));
  });
});

/** @param {string} prefix @param {Record<string, Buffer>} files */
const prefixed = (prefix, files) => Object.fromEntries(Object.entries(files).map(([name, bytes]) => [prefix + name, bytes]));

describe("where outputs go", () => {
  const made = fixture("sharded");
  const options = { base: made.base, adapters: adapterOptions(made) };
  /** @type {Record<string, string>} */
  let expected;
  before(async () => {
    expected = await hashes(await merge({ ...options, workers: 1 }));
  });

  test("a folder, whose files can be read again from the result", async (t) => {
    const folder = await scratch(t);
    for (const workers of [0, 1, 2, 3]) {
      const output = join(folder, String(workers));
      const result = await merge({ ...options, output, workers });
      assert.deepEqual(await snapshot(output), expected);
      assert.deepEqual(await hashes(result), expected);
      const streamed = Buffer.from(await new Response(result.files[0].stream()).arrayBuffer());
      assert.equal(sha256(streamed), expected[result.files[0].name]);
    }
  });

  for (const workers of [0, 1, 3]) {
    test(`streams, with ${workers} workers: one file after another, from beginning to end, and no faster than they take it`, async () => {
      /** @type {Record<string, Taken>} */
      const files = {};
      let open = 0;
      let writing = 0;
      const result = await merge({
        ...options, workers,
        output: async ({ name, size }) => {
          assert.equal(open, 0, "the file before is closed");
          open++;
          /** @type {Taken} */
          const file = { size, parts: [], closed: false };
          files[name] = file;
          return new WritableStream({
            write: async (bytes) => {
              assert.equal(writing, 0, "nothing comes while the stream is busy");
              writing++;
              await new Promise((resolve) => setTimeout(resolve, 1));
              file.parts.push(bytes.slice());
              writing--;
            },
            close: () => {
              file.closed = true;
              open--;
            },
          }, { highWaterMark: 1 });
        },
      });
      assert.deepEqual(Object.keys(files), result.files.map(({ name }) => name));
      for (const [name, { size, parts, closed }] of Object.entries(files)) {
        const bytes = Buffer.concat(parts);
        assert.ok(closed, name);
        assert.equal(bytes.length, size);
        assert.equal(sha256(bytes), expected[name]);
      }
      await assert.rejects(result.files[0].blob(), { code: "bad-option" });
    });
  }

  test("a stream that is slow stops the merge from running ahead", async () => {
    const { base, adapters } = randomModel(7);
    let taken = 0;
    let furthest = 0;
    await merge({
      base: asFiles(base), adapters: adapters.map(({ files, weight }) => ({ source: asFiles(files), weight })), workers: 2,
      onProgress: ({ bytes }) => (furthest = Math.max(furthest, bytes)),
      output: () => new WritableStream({
        write: async (bytes) => {
          assert.ok(furthest <= taken, `${furthest} bytes are called done, ${taken} are taken`);
          await new Promise((resolve) => setTimeout(resolve, 1));
          taken += bytes.length;
        },
      }),
    });
    assert.equal(furthest, taken);
  });
});

describe("random models", { concurrency: 2 }, () => {
  for (let seed = 1; seed <= 20; seed++) {
    test(`seed ${seed}`, async (t) => {
      const { base, adapters } = randomModel(seed);
      const inMemory = { base: asFiles(base), adapters: adapters.map(({ files, weight }) => ({ source: asFiles(files), weight })) };
      const expected = await hashes(await merge({ ...inMemory, workers: 0 }));
      const folder = await scratch(t);
      const onDisk = { base: await writeFolder(join(folder, "base"), base), adapters: /** @type {{ source: string, weight: number }[]} */ ([]) };
      for (const [i, { files, weight }] of adapters.entries()) {
        onDisk.adapters.push({ source: await writeFolder(join(folder, `adapter-${i}`), files), weight });
      }
      const statistics = seed % 2 === 0;
      for (const workers of [1, 1 + (seed % 3)]) {
        const output = join(folder, `out-${workers}`);
        await merge({ ...onDisk, workers, statistics, output, force: true, memoryBudget: seed % 4 ? 9 * 2 ** 20 : 200 * 2 ** 20 });
        assert.deepEqual(await snapshot(output), expected, `${workers} workers`);
      }
    });
  }

  test("a tensor of many blocks", async (t) => {
    const folder = await scratch(t);
    const { base, adapter } = tinyModel();
    const next = random(3);
    const numbers = (/** @type {number} */ count) => Float64Array.from({ length: count }, () => next() - 0.5);
    base["model.safetensors"] = buildSafetensors({
      "before": { dtype: "U8", shape: [3], bytes: Buffer.from([1, 2, 3]) },
      [`${Q}.weight`]: { dtype: "BF16", shape: [1201, 1503], values: numbers(1201 * 1503) },
    });
    adapter["adapter_model.safetensors"] = buildSafetensors({
      [factor(Q, "A")]: { dtype: "F32", shape: [2, 1503], values: numbers(2 * 1503) },
      [factor(Q, "B")]: { dtype: "F16", shape: [1201, 2], values: numbers(1201 * 2) },
    });
    const sources = { base: asFiles(base), adapters: [asFiles(adapter)] };
    for (const dtype of /** @type {const} */ (["keep", "float32", "float16"])) {
      const expected = await hashes(await merge({ ...sources, dtype, workers: 0 }));
      for (const workers of [0, 1, 2, 3]) {
        // Under nine MiB a block has some two hundred thousand bytes: fewer than this tensor's by far.
        const output = join(folder, `${dtype}-${workers}`);
        await merge({ ...sources, dtype, workers, output, memoryBudget: 9 * 2 ** 20 });
        assert.deepEqual(await snapshot(output), expected, `${workers} workers`);
        assert.deepEqual(await hashes(await merge({ ...sources, dtype, workers, memoryBudget: 9 * 2 ** 20 })), expected);
      }
    }
  });
});
