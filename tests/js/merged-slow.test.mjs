// @ts-check
// Many readers of a merged model that are slow: how much of the base is under way for them.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { merge, openMerged } from "../../pkg/node.js";
import { buildSafetensors } from "./safetensors-file.mjs";
import { correct, scriptedServer } from "./scripted-server.mjs";
import { asFiles, TENSORS, tinyModel } from "./tiny-model.mjs";

const WEIGHTS = "model.safetensors";
const READERS = 12;
/** Bytes of a tensor that is copied: many blocks. */
const LARGE = 40 << 20;

/** A tiny model whose base is large. */
function largeModel() {
  const { base, adapter } = tinyModel();
  const large = Uint8Array.from({ length: 1 << 16 }, (_, i) => (i * 31) ^ (i >> 8));
  const bytes = Buffer.concat(Array(LARGE >> 16).fill(large));
  return { base: { ...base, [WEIGHTS]: buildSafetensors({ ...TENSORS.base, "model.large": { dtype: "U8", shape: [LARGE], bytes } }) }, adapter };
}

/** Streams of the base that are open, and how many were at a time. */
function counted() {
  let open = 0;
  const count = { most: 0, opened: 0, get open() { return open; } };
  return {
    count,
    /** @param {ReadableStream<Uint8Array>} stream @returns {ReadableStream<Uint8Array>} */
    watch(stream) {
      const reader = stream.getReader();
      count.most = Math.max(count.most, ++open);
      count.opened++;
      let over = false;
      const end = () => void (over || ((over = true), open--));
      return new ReadableStream({
        async pull(controller) {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          end();
          controller.close();
        },
        cancel(reason) {
          end();
          return reader.cancel(reason);
        },
      }, { highWaterMark: 0 });
    },
  };
}

/** @typedef {{ watch: ReturnType<typeof counted>["watch"], base: Record<string, Buffer> }} Given */
/** Bases, and when their streams are counted. @type {[string, (t: any, given: Given) => Promise<any>][]} */
const BASES = [
  ["behind a URL", async (t, { base, watch }) => {
    const server = await scriptedServer(base, correct);
    t.after(server.close);
    const plain = globalThis.fetch;
    t.mock.method(globalThis, "fetch", async (/** @type {string} */ url, /** @type {RequestInit} */ init) => {
      const response = await plain(url, init);
      return response.body ? new Response(watch(response.body), response) : response;
    });
    return server.url;
  }],
  ["of a source that streams", async (_, { base, watch }) => {
    const bytes = (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => new Uint8Array(base[name].subarray(start, end));
    return {
      list: async () => Object.entries(base).map(([name, { length }]) => ({ name, size: length })),
      read: async (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => bytes(name, start, end),
      stream: (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => watch(new Blob([bytes(name, start, end)]).stream()),
    };
  }],
];

describe("a base", () => {
  for (const [what, source] of BASES) {
    test(`${what} has never more than four streams under way, however slow its readers are, and nobody waits for them`, async (t) => {
      const { base, adapter } = largeModel();
      const { count, watch } = counted();
      const adapters = [asFiles(adapter)];
      const model = await openMerged({ base: await source(t, { base, watch }), adapters });
      const written = (await merge({ base: asFiles(base), adapters })).files.find(({ name }) => name === WEIGHTS);
      const expected = Buffer.from(await /** @type {Blob} */ (await written?.blob()).arrayBuffer());
      count.most = count.open;
      const readers = Array.from({ length: READERS }, () => {
        const reader = model.stream(WEIGHTS).getReader();
        /** @type {Uint8Array[]} */
        const chunks = [];
        /** One chunk more; false at the end. */
        const next = async () => {
          const { done, value } = await reader.read();
          if (value) chunks.push(value);
          return !done;
        };
        return { chunks, next, reader };
      });
      // The header, and two blocks of the base: then nobody reads on.
      for (let turn = 0; turn < 3; turn++) await Promise.all(readers.map(({ next }) => next()));
      assert.ok(count.opened >= READERS);
      // One of them goes on alone, to its end; some are gone, and the others go on all at once.
      while (await readers[0].next());
      await Promise.all(readers.slice(1, 4).map(({ reader }) => reader.cancel()));
      await Promise.all(readers.slice(4).map(async ({ next }) => { while (await next()); }));
      for (const { chunks } of [readers[0], ...readers.slice(4)]) assert.ok(expected.equals(Buffer.concat(chunks)));
      assert.equal(count.open, 0);
      assert.ok(count.most <= 4, `${count.most} at once`);
      model.close();
    });
  }
});
