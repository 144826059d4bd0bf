// @ts-check
// A bucket as a source: every model that is opened on it reads the objects that were there when it was opened.
import assert from "node:assert/strict";
import { test } from "node:test";
import { merge, openMerged } from "../../pkg/node.js";
import { NETWORK } from "../../pkg/sources/network.js";
import { bucketSource, r2Source } from "../../pkg/sources/r2.js";
import { buildSafetensors } from "./safetensors-file.mjs";
import { asFiles, Q, TENSORS, tinyModel } from "./tiny-model.mjs";

const WEIGHTS = "model.safetensors";

/** A bucket in memory. */
function memoryBucket() {
  /** @type {Map<string, { key: string, size: number, etag: string, bytes: Uint8Array<ArrayBuffer> }>} */
  const objects = new Map();
  let puts = 0;
  return {
    /** @param {string} key @param {Uint8Array} bytes */
    put: (key, bytes) => void objects.set(key, { key, size: bytes.length, etag: `tag ${puts++}`, bytes: new Uint8Array(bytes) }),
    /** @param {{ prefix: string }} options */
    list: async ({ prefix }) => ({ objects: [...objects.values()].filter(({ key }) => key.startsWith(prefix)), truncated: false }),
    /** @param {string} key @param {{ range: { offset: number, length: number }, onlyIf?: { etagMatches: string } }} options */
    get: async (key, { range, onlyIf }) => {
      const object = objects.get(key);
      if (!object) return null;
      const { bytes, ...about } = object;
      if (onlyIf && onlyIf.etagMatches !== object.etag) return about;
      return { ...about, body: new Blob([bytes.subarray(range.offset, range.offset + range.length)]).stream() };
    },
  };
}

test("a stream that is left while its object is asked for leaves no body behind", async () => {
  const bucket = memoryBucket();
  bucket.put("base/x", new Uint8Array(9));
  let cancelled = 0;
  /** @type {() => void} */
  let give = () => {};
  const given = new Promise((resolve) => (give = () => resolve(undefined)));
  const slow = { ...bucket, get: async () => (await given, { key: "base/x", size: 9, etag: "tag 0", body: new ReadableStream({ cancel: () => void cancelled++ }) }) };
  const reader = /** @type {ReadableStream<Uint8Array>} */ (r2Source(slow, "base").stream?.("x", 0, 9, "tag 0")).getReader();
  const reading = reader.read();
  await new Promise((resolve) => setImmediate(resolve));
  await reader.cancel();
  give();
  await reading;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(cancelled, 1);
});

test("a bucket that falls silent ends the read, and what it gives later is given up", async () => {
  const impatient = { ...NETWORK, retryDelays: [0, 0, 0], stallTimeout: 30 };
  let [asked, cancelled] = [0, 0];
  const body = () => new ReadableStream({ cancel: () => void cancelled++ });
  /** @type {(() => void)[]} */
  const late = [];
  const silent = { ...memoryBucket(), get: () => new Promise((resolve) => void (asked++, late.push(() => resolve({ key: "x", size: 9, etag: "1", body: body() })))) };
  await assert.rejects(bucketSource(silent, "", impatient).read("x", 0, 9, "1"), { code: "fetch-failed", message: /x: nothing has come/ });
  for (const give of late) give();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([asked, cancelled], [4, 4]);
  const halting = { ...memoryBucket(), get: async () => ({ key: "x", size: 9, etag: "1", body: body() }) };
  await assert.rejects(bucketSource(halting, "", impatient).read("x", 0, 9, "1"), /nothing has come/);
  await assert.rejects(async () => bucketSource(halting, "", impatient).stream?.("x", 0, 9, "1").getReader().read(), /nothing has come/);
  assert.equal(cancelled, 6);
});

test("a source that is opened again does not let earlier models read what is new", async () => {
  const { base, adapter } = tinyModel();
  const bucket = memoryBucket();
  for (const [name, bytes] of Object.entries(base)) bucket.put(`base/${name}`, bytes);
  const source = r2Source(bucket, "base");
  const options = { base: source, adapters: [asFiles(adapter)] };
  const first = await openMerged(options);
  const written = (await merge({ ...options, base: asFiles(base) })).files.find(({ name }) => name === WEIGHTS);
  assert.ok(Buffer.from(await first.read(WEIGHTS)).equals(Buffer.from(await /** @type {Blob} */ (await written?.blob()).arrayBuffer())));
  const other = { ...TENSORS.base, [`${Q}.weight`]: { ...TENSORS.base[`${Q}.weight`], values: Array(20).fill(3) } };
  bucket.put(`base/${WEIGHTS}`, buildSafetensors(other));
  const second = await openMerged(options);
  await assert.rejects(first.read(WEIGHTS), { code: "source-changed", message: /model\.safetensors: it was tag 1 and is now tag 3/ });
  assert.notEqual(Buffer.from(await second.read(WEIGHTS)).length, 0);
  first.close();
  second.close();
});
