// @ts-check
// Merge-on-read: a merged model that was never written, against the one that merge() writes.
import assert from "node:assert/strict";
import { utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { merge, openMerged } from "../../pkg/node.js";
import { adapterOptions, CASES, fixture, FIXTURES } from "./fixture.mjs";
import { random } from "./numbers.mjs";
import { scratch, sha256, writeFolder } from "./scratch.mjs";
import { asFiles, randomModel, tinyModel } from "./tiny-model.mjs";

const SAMPLE = {
  base: join(FIXTURES, "sample", "tiny-llama"),
  adapters: [join(FIXTURES, "sample", "storyteller-lora"), { source: join(FIXTURES, "sample", "terse-rslora"), weight: -0.3 }],
};

/** @param {import("../../pkg/types.js").MergeResult} merged @returns {Promise<Record<string, Buffer>>} */
async function bytesOf(merged) {
  /** @type {Record<string, Buffer>} */
  const found = {};
  for (const { name, blob } of merged.files) found[name] = Buffer.from(await (await blob()).arrayBuffer());
  return found;
}

/** @param {ReadableStream<Uint8Array>} stream */
async function collect(stream) {
  const chunks = [];
  for await (const chunk of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (stream))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Every file whole and in random parts, read and streamed. @param {any} options @param {number} ranges @param {number} [seed] */
async function compare(options, ranges, seed = 1) {
  const written = await bytesOf(await merge({ ...options, workers: 1 }));
  const opened = await openMerged(options);
  try {
    assert.deepEqual(opened.files.map(({ name, size }) => [name, size]), Object.entries(written).map(([name, { length }]) => [name, length]));
    const next = random(seed);
    for (const { name, size } of opened.files) {
      assert.equal(sha256(await opened.read(name)), sha256(written[name]), name);
      assert.equal(sha256(await collect(opened.stream(name))), sha256(written[name]), name);
      for (let turn = 0; turn < ranges; turn++) {
        const start = Math.floor(next() * (size + 1));
        // Single bytes are the hardest.
        const end = turn % 4 === 0 ? Math.min(start + 1, size) : start + Math.floor(next() * (size - start + 1));
        const part = turn % 2 === 0 ? await opened.read(name, start, end) : await collect(opened.stream(name, start, end));
        assert.ok(written[name].subarray(start, end).equals(part), `${name} ${start}..${end}`);
      }
    }
  } finally {
    opened.close();
  }
}

describe("every range equals that of the written file", () => {
  for (const name of CASES) {
    test(name, async () => {
      const made = fixture(name);
      await compare({ base: made.base, adapters: adapterOptions(made) }, 25);
    });
  }
  for (const options of [{ dtype: "float32" }, { dtype: "float16", allowNonfinite: true }, { maxShardSize: 20_000 }, { only: "mlp", dtype: "bfloat16" }]) {
    test(`the sample with ${JSON.stringify(options)}`, () => compare({ ...SAMPLE, ...options }, 120));
  }
  test("random models of odd sizes", async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const { base, adapters } = randomModel(seed);
      await compare({ base: asFiles(base), adapters: adapters.map(({ files, weight }) => ({ source: asFiles(files), weight })) }, 40, seed);
    }
  });
  test("a source that streams, in chunks of any size", async () => {
    const { base, adapters } = randomModel(5);
    const next = random(3);
    const source = {
      list: async () => Object.entries(base).map(([name, { length }]) => ({ name, size: length })),
      read: async (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => new Uint8Array(base[name].subarray(start, end)),
      stream(/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) {
        return new ReadableStream({
          pull(controller) {
            if (start === end) return controller.close();
            const step = Math.min(end - start, 1 + Math.floor(next() * 700));
            controller.enqueue(new Uint8Array(base[name].subarray(start, (start += step))));
          },
        });
      },
    };
    await compare({ base: source, adapters: adapters.map(({ files, weight }) => ({ source: asFiles(files), weight })) }, 60);
  });
});

test("many readers at once share one model", async () => {
  const written = await bytesOf(await merge(SAMPLE));
  const opened = await openMerged(SAMPLE);
  const next = random(11);
  const weights = opened.files.filter(({ name }) => name.endsWith(".safetensors"));
  await Promise.all(Array.from({ length: 60 }, async (_, turn) => {
    const { name, size } = /** @type {{ name: string, size: number }} */ (weights[turn % weights.length]);
    const start = Math.floor(next() * size);
    const end = start + Math.floor(next() * (size - start));
    assert.ok(written[name].subarray(start, end).equals(await opened.read(name, start, end)));
  }));
  opened.close();
});

test("what is not there, and what is no range, is refused", async () => {
  const opened = await openMerged(SAMPLE);
  const { name, size } = /** @type {{ name: string, size: number }} */ (opened.files[0]);
  for (const [file, start, end] of /** @type {[string, any, any][]} */ ([
    ["nothing", 0, 1], [name, -1, 1], [name, 2, 1], [name, 0, size + 1], [name, 0.5, 2], [name, Number.NaN, 2], [name, "0", 1],
  ])) {
    await assert.rejects(opened.read(file, start, end), { name: "LorafoldError", code: "bad-option" });
    assert.throws(() => opened.stream(file, start, end), { name: "LorafoldError", code: "bad-option" });
  }
  assert.equal((await opened.read(name, size, size)).length, 0);
  opened.close();
  opened.close();
  await assert.rejects(opened.read(name, 0, 1), { code: "bad-option", message: /closed/ });
});

test("a model that is closed while it is read ends the reads", async () => {
  for (let turn = 0; turn < 30; turn++) {
    const opened = await openMerged(SAMPLE);
    const { name } = /** @type {{ name: string }} */ (opened.files[0]);
    const reads = [opened.read(name), collect(opened.stream(name)), opened.response(new Request(`http://any/${name}`)).then((response) => response.arrayBuffer())];
    // At another moment each time.
    for (let wait = 0; wait < turn; wait++) await null;
    if (turn % 3 === 0) await new Promise((resolve) => setTimeout(resolve, turn / 10));
    opened.close();
    for (const ended of await Promise.allSettled(reads)) {
      if (ended.status === "rejected") assert.match(String(ended.reason), /LorafoldError: the merged model is closed|terminated|aborted/);
    }
  }
});

test("reads that wait for their turn when the model is closed begin nothing", async () => {
  const opened = await openMerged(SAMPLE);
  const { name, size } = /** @type {{ name: string, size: number }} */ (opened.files.find((file) => file.name === "model-00001-of-00002.safetensors"));
  // From a merged tensor to the next, of both of which all but the base is known from here on.
  const start = size - 10_000;
  await opened.read(name, start);
  const readers = Array.from({ length: 12 }, () => opened.stream(name, start).getReader());
  await Promise.all(readers.map((reader) => reader.read()));
  const reads = readers.map((reader) => reader.read());
  await new Promise((resolve) => setImmediate(resolve));
  opened.close();
  const ended = await Promise.allSettled(reads);
  assert.ok(ended.some(({ status }) => status === "rejected"));
  for (const end of ended) if (end.status === "rejected") assert.match(String(end.reason), /LorafoldError: the merged model is closed/);
  // A promise that nobody waits for would fail here.
  await new Promise((resolve) => setTimeout(resolve, 50));
});

test("readers that have gone hold up nobody, and leave no stream of the base", async () => {
  const { base, adapter } = tinyModel();
  let stalls = false;
  let [opened, cancelled] = [0, 0];
  const source = {
    list: async () => Object.entries(base).map(([name, { length }]) => ({ name, size: length })),
    read: async (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) =>
      /** @type {any} */ (stalls ? new Promise(() => {}) : new Uint8Array(base[/** @type {keyof typeof base} */ (name)].subarray(start, end))),
  };
  const model = await openMerged({ base: source, adapters: [asFiles(adapter)] });
  stalls = true;
  const stop = new AbortController();
  for (let reader = 0; reader < 4; reader++) void model.read("model.safetensors", undefined, undefined, { signal: stop.signal }).catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 20));
  stalls = false;
  stop.abort();
  const began = performance.now();
  await model.read("model.safetensors");
  assert.ok(performance.now() - began < 20_000, "it waited until the permits counted as abandoned");
  model.close();

  const streaming = { ...source, stream: (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => {
    opened++;
    const whole = new Uint8Array(base[/** @type {keyof typeof base} */ (name)].subarray(start, end));
    return new ReadableStream({ pull: (controller) => controller.enqueue(whole), cancel: () => void cancelled++ }, { highWaterMark: 0 });
  } };
  const streamed = await openMerged({ base: streaming, adapters: [asFiles(adapter)] });
  const leaving = new AbortController();
  const reader = streamed.stream("model.safetensors", 0, undefined, { signal: leaving.signal }).getReader();
  for (let block = 0; opened === 0 && block < 4; block++) await reader.read();
  leaving.abort();
  await assert.rejects(reader.read(), { code: "aborted" });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(opened > 0);
  assert.equal(cancelled, opened);
  streamed.close();
});

test("a model that is released is closed with the last of its reads, once", async () => {
  for (const leave of [
    async (/** @type {ReadableStreamDefaultReader<Uint8Array>} */ reader) => { while (!(await reader.read()).done); },
    (/** @type {ReadableStreamDefaultReader<Uint8Array>} */ reader) => reader.cancel(),
    async (/** @type {unknown} */ _, /** @type {AbortController} */ stop) => stop.abort(),
  ]) {
    const opened = await openMerged(SAMPLE);
    const [{ name, size }] = opened.files.filter((file) => file.name.endsWith(".safetensors"));
    const stop = new AbortController();
    const reader = opened.stream(name, 0, size, { signal: stop.signal }).getReader();
    await reader.read();
    const reading = opened.read(name, size - 9, size);
    opened.release();
    assert.equal((await reading).length, 9);
    await leave(reader, stop);
    await assert.rejects(opened.read(name, 0, 1), { code: "bad-option", message: /closed/ });
    opened.close();
  }
});

for (const streams of [false, true]) {
  test(`a read of a source that never answers ends with its signal, ${streams ? "from a stream" : "by ranges"}`, async () => {
    const { base, adapter } = tinyModel();
    let stalls = false;
    let cancelled = 0;
    const bytes = (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => new Uint8Array(base[name].subarray(start, end));
    /** @type {() => void} */
    let asked = () => {};
    const stall = () => new Promise(() => asked());
    /** @type {import("../../pkg/types.js").Source} */
    const source = {
      list: async () => Object.entries(base).map(([name, { length }]) => ({ name, size: length })),
      read: async (name, start, end) => /** @type {any} */ (stalls ? stall() : bytes(name, start, end)),
      ...(streams && { stream: (name, start, end) => new ReadableStream({
        pull: async (controller) => (stalls ? void (await stall()) : controller.enqueue(bytes(name, start, end))),
        cancel: () => void cancelled++,
      }, { highWaterMark: 0 }) }),
    };
    const model = await openMerged({ base: source, adapters: [asFiles(adapter)] });
    const [{ name, size }] = model.files.filter((file) => file.name.endsWith(".safetensors"));
    const begun = cancelled;
    for (const read of [
      (/** @type {AbortSignal} */ signal) => model.read(name, size - 8, size, { signal }),
      (/** @type {AbortSignal} */ signal) => model.stream(name, size - 8, size, { signal }).getReader().read(),
    ]) {
      stalls = true;
      const pending = new Promise((resolve) => (asked = () => resolve(undefined)));
      const stop = new AbortController();
      const ended = read(stop.signal);
      await pending;
      stop.abort();
      await assert.rejects(ended, { code: "aborted" });
      stalls = false;
      assert.equal((await model.read(name, size - 8, size)).length, 8);
    }
    if (streams) assert.ok(cancelled - begun >= 2);
    model.close();
  });
}

test("a Range that is absurdly long is none, and takes no time", async () => {
  const opened = await openMerged(SAMPLE);
  for (const [range, status] of /** @type {[string, number][]} */ ([[`bytes=${" ".repeat(20)}0 - 3`, 206], [`bytes=${" ".repeat(300)}0-3`, 200], [`bytes=${" ".repeat(120_000)}x`, 200], [`bytes=0${" ".repeat(120_000)}x`, 200]])) {
    const response = await opened.response(new Request("http://any/config.json", { headers: { range } }));
    assert.equal(response.status, status, `${range.length} characters`);
    await response.arrayBuffer();
  }
  opened.close();
});

test("what cannot be merged is not opened", async () => {
  const { base, adapter } = tinyModel();
  await assert.rejects(openMerged({ base: asFiles(base), adapters: [{ source: asFiles(adapter), weight: Number.NaN }] }), { code: "bad-option" });
  const { "adapter_config.json": _, ...rest } = adapter;
  await assert.rejects(openMerged({ base: asFiles(base), adapters: [asFiles(rest)] }), { code: "bad-config" });
  await assert.rejects(openMerged({ ...SAMPLE, signal: AbortSignal.abort() }), { code: "aborted" });
});

test("a value that leaves the finite range is an error of the read that meets it", async () => {
  const options = { base: fixture("dtype-f16").base, adapters: fixture("dtype-f16").adapters.map(({ path }) => ({ source: path, weight: 1e9 })) };
  const opened = await openMerged(options);
  await assert.rejects(opened.read("model.safetensors"), { code: "non-finite", tensor: /model\./ });
  opened.close();
  await compare({ ...options, allowNonfinite: true }, 5);
});

test("entity tags follow the inputs, the options and the base's versions", async (t) => {
  const folder = await scratch(t);
  const { base, adapter } = tinyModel();
  const at = { base: await writeFolder(join(folder, "base"), base), adapter: await writeFolder(join(folder, "adapter"), adapter) };
  const tags = async (/** @type {object} */ options = {}) => {
    const opened = await openMerged({ base: at.base, adapters: [{ source: at.adapter }], ...options });
    opened.close();
    return opened.files.map(({ etag }) => etag);
  };
  const first = await tags();
  assert.equal(new Set(first).size, first.length);
  for (const tag of first) assert.match(tag, /^"[0-9a-f]{32}"$/);
  assert.deepEqual(await tags(), first);
  assert.notDeepEqual(await tags({ adapters: [{ source: at.adapter, weight: 0.5 }] }), first);
  assert.notDeepEqual(await tags({ dtype: "bfloat16" }), first);
  await utimes(join(at.base, "model.safetensors"), 1, 1);
  assert.notDeepEqual(await tags(), first);
});

test("a base that is written to while it is read is not mixed", async (t) => {
  const folder = await scratch(t);
  const { base, adapter } = tinyModel();
  const path = await writeFolder(join(folder, "base"), base);
  const opened = await openMerged({ base: path, adapters: [asFiles(adapter)] });
  await opened.read("model.safetensors");
  await writeFile(join(path, "model.safetensors"), base["model.safetensors"]);
  await utimes(join(path, "model.safetensors"), 5, 5);
  await assert.rejects(opened.read("model.safetensors"), { name: "LorafoldError", code: "source-changed", message: /model\.safetensors/ });
  opened.close();
});
