// @ts-check
// Merge-on-read of a base that a server has: how often it is asked, and what comes of servers that change, refuse, lie and die.
import assert from "node:assert/strict";
import { cp, utimes } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { merge, openMerged } from "../../pkg/node.js";
import { serve } from "../browser/serve.mjs";
import { FIXTURES } from "./fixture.mjs";
import { correct, scriptedServer, whole } from "./scripted-server.mjs";
import { scratch } from "./scratch.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const FOLDER = join(FIXTURES, "sample");
const WEIGHTS = "model.safetensors";

/** @param {{ after: (hook: () => Promise<void>) => void }} t */
async function sample(t) {
  const server = await serve({ "/": FOLDER });
  t.after(server.close);
  const adapters = [`${server.origin}/storyteller-lora/`, join(FOLDER, "terse-rslora")];
  return { server, options: { base: `${server.origin}/tiny-llama`, adapters } };
}

/** @param {import("../../pkg/types.js").MergeOptions} options */
async function mergedFiles(options) {
  const { files } = await merge({ ...options, workers: 0 });
  return new Map(await Promise.all(files.map(async ({ name, blob }) => /** @type {const} */ ([name, Buffer.from(await (await blob()).arrayBuffer())]))));
}

test("one request for a contiguous range, none for the adapters", async (t) => {
  const { server, options } = await sample(t);
  const written = await mergedFiles(options);
  const opened = await openMerged(options);
  const opening = server.requests.length;
  for (const { name, size } of opened.files.filter((file) => file.name.endsWith(".safetensors"))) {
    for (const [start, end] of /** @type {[number, number][]} */ ([[0, size], [9, size - 3], [size >> 1, (size >> 1) + 1]])) {
      const before = server.requests.length;
      assert.ok(written.get(name)?.subarray(start, end).equals(await opened.read(name, start, end)));
      const asked = server.requests.slice(before);
      assert.deepEqual(asked.map(({ path, status }) => [path, status]), [[`/tiny-llama/${name}`, 206]]);
    }
    const before = server.requests.length;
    // The header of a merged file is the plan's.
    await opened.read(name, 0, 8);
    assert.equal(server.requests.length, before);
  }
  assert.ok(server.requests.slice(opening).every(({ path }) => !path.includes("storyteller")));
  opened.close();
});

test("opening asks once for each file, also for an index and an adapter that are longer than the first bytes", async (t) => {
  const { base, adapter } = tinyModel();
  const [weights, factors] = [base[WEIGHTS], adapter["adapter_model.safetensors"]];
  const length = Number(weights.readBigUInt64LE(0));
  const names = Object.keys(JSON.parse(weights.toString("utf8", 8, 8 + length))).filter((name) => name !== "__metadata__");
  const index = Buffer.from(JSON.stringify({ metadata: {}, weight_map: Object.fromEntries(names.map((name) => [name, WEIGHTS])) }) + " ".repeat(200_000));
  const padded = padHeader(factors, 300_000);
  const server = await scriptedServer({ ...base, "model.safetensors.index.json": index }, correct);
  const adapters = await scriptedServer({ ...adapter, "adapter_model.safetensors": padded }, correct);
  t.after(server.close);
  t.after(adapters.close);
  const options = { base: server.url, adapters: [adapters.url] };
  const opened = await openMerged(options);
  // The index has two parts, as it is longer than the first bytes of every file.
  assert.deepEqual([server.counts["model.safetensors.index.json"], server.counts[WEIGHTS], server.counts["config.json"]], [2, 1, 1]);
  assert.deepEqual(adapters.counts, { "adapter_config.json": 1, "adapter_model.safetensors": 1 });
  const written = await mergedFiles({ base: asFiles({ ...base, "model.safetensors.index.json": index }), adapters: [asFiles({ ...adapter, "adapter_model.safetensors": padded })] });
  assert.ok(written.get(WEIGHTS)?.equals(await opened.read(WEIGHTS)));
  assert.equal(adapters.counts["adapter_model.safetensors"], 1);
  opened.close();
});

/** A safetensors file whose header has spaces at its end. @param {Buffer} file @param {number} bytes */
function padHeader(file, bytes) {
  const length = Number(file.readBigUInt64LE(0));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(length + bytes));
  return Buffer.concat([prefix, file.subarray(8, 8 + length), Buffer.alloc(bytes, " "), file.subarray(8 + length)]);
}

test("never more than four requests under way", async (t) => {
  const { server, options } = await sample(t);
  server.set({ latency: 15 });
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, server.requests.filter(({ complete }) => !complete).length)), 1);
  t.after(async () => clearInterval(watch));
  const opened = await openMerged({ ...options, adapters: [`${server.origin}/storyteller-lora/`] });
  const { name, size } = /** @type {{ name: string, size: number }} */ (opened.files.find((file) => file.name.endsWith(".safetensors")));
  const written = (await mergedFiles({ ...options, adapters: [join(FOLDER, "storyteller-lora")] })).get(name);
  await Promise.all(Array.from({ length: 20 }, async (_, turn) => {
    const start = size - 100 * (turn + 1);
    assert.ok(written?.subarray(start, start + 64).equals(await opened.read(name, start, start + 64)));
  }));
  assert.ok(most >= 2 && most <= 4, `${most} requests at once`);
  opened.close();
});

test("an adapter that fails ends the request for the base", async (t) => {
  const { server, options } = await sample(t);
  const path = join(await scratch(t), "adapter");
  await cp(join(FOLDER, "storyteller-lora"), path, { recursive: true });
  const opened = await openMerged({ ...options, adapters: [path] });
  await utimes(join(path, "adapter_model.safetensors"), 5, 5);
  server.set({ latency: 50, chunkSize: 512, chunkDelay: 20 });
  const { name, size } = /** @type {{ name: string, size: number }} */ (opened.files.find((file) => file.name === "model-00001-of-00002.safetensors"));
  // From a merged tensor on: the factors are wanted while the base is asked for.
  await assert.rejects(opened.read(name, size - 70_000), { code: "source-changed", message: /adapter_model/ });
  const request = server.requests[server.requests.length - 1];
  await server.ended(request);
  assert.deepEqual([request.path, request.complete], [`/tiny-llama/${name}`, false], "the base was read to its end");
  opened.close();
});

test("a reader that goes away ends the request for the base", async (t) => {
  const { server, options } = await sample(t);
  const opened = await openMerged(options);
  server.set({ chunkSize: 512, chunkDelay: 20 });
  const { name } = /** @type {{ name: string }} */ (opened.files.find((file) => file.name.endsWith(".safetensors")));
  for (const how of ["abort", "cancel"]) {
    const stop = new AbortController();
    const asked = server.next();
    const reader = opened.stream(name, 0, undefined, { signal: stop.signal }).getReader();
    // The header, which is the plan's.
    await reader.read();
    const waiting = reader.read();
    const request = await asked;
    if (how === "abort") {
      stop.abort();
      await assert.rejects(waiting, { code: "aborted" });
    } else {
      await reader.cancel();
      await waiting;
    }
    await server.ended(request);
    assert.deepEqual([request.path, request.complete], [`/tiny-llama/${name}`, false], `${how}: the base was read to its end`);
  }
  opened.close();
});

/** @typedef {import("./scripted-server.mjs").Asked} Asked */
/** @typedef {import("./scripted-server.mjs").Answer} Answer */

/** Requests for the weights once the model is open. @param {Asked} asked */
const later = ({ name, count }) => name === WEIGHTS && count > 0;

/** Every answer has an ETag. @param {Asked} asked @param {string} etag @returns {Answer} */
const tagged = (asked, etag) => ({ ...correct(asked), headers: { ...correct(asked).headers, ETag: etag } });

describe("a server", () => {
  for (const [how, answer, code, says] of /** @type {[string, (asked: Asked) => Answer, string, RegExp][]} */ ([
    ["whose file gets another ETag", (asked) => tagged(asked, later(asked) ? '"b"' : '"a"'), "source-changed", /"a".*"b"/],
    ["whose file was changed later", (asked) => ({ ...correct(asked), headers: { ...correct(asked).headers, "Last-Modified": `day ${later(asked) ? 2 : 1}` } }), "source-changed", /day 1.*day 2/],
    ["whose file has grown", (asked) => (later(asked) ? { ...correct(asked), headers: { "Content-Range": `bytes ${asked.range?.join("-")}/99999` } } : correct(asked)), "source-changed", /99999/],
    ["whose file has shrunk", (asked) => (later(asked) ? { status: 416 } : correct(asked)), "source-changed", /no bytes/],
    ["that begins to ignore ranges", (asked) => (later(asked) ? whole(asked) : correct(asked)), "no-range-support", /ranged requests/],
    ["that sends another range", (asked) => (later(asked) ? { ...correct(asked), headers: { "Content-Range": `bytes 0-9/${asked.file?.length}` } } : correct(asked)), "source-changed", /bytes 0-9/],
    ["that stays broken", (asked) => (later(asked) ? { status: 502 } : correct(asked)), "fetch-failed", /502/],
    ["that wants to be asked next week", (asked) => (later(asked) ? { status: 429, headers: { "Retry-After": 604800 } } : correct(asked)), "fetch-failed", /429/],
    ["that forbids", (asked) => (later(asked) ? { status: 403 } : correct(asked)), "fetch-failed", /403/],
    ["that always dies", (asked) => (later(asked) ? { ...correct(asked), headers: { ...correct(asked).headers, "Content-Length": correct(asked).body?.length ?? 0 }, cutAfter: 1 } : correct(asked)), "fetch-failed", /model\.safetensors/],
  ])) {
    test(how, async (t) => {
      const { base, adapter } = tinyModel();
      const server = await scriptedServer(base, answer);
      t.after(server.close);
      const opened = await openMerged({ base: server.url, adapters: [asFiles(adapter)] });
      await assert.rejects(opened.read(WEIGHTS), { name: "LorafoldError", code, message: says });
      // The header is the plan's and needs no base, but is not sent before the base's first bytes are there.
      for (const headers of /** @type {Record<string, string>[]} */ ([{}, { range: "bytes=-10" }, { range: "bytes=4-" }])) {
        /** @type {any[]} */
        const errors = [];
        const response = await opened.response(new Request(`http://any/${WEIGHTS}`, { headers }), { onError: (error) => errors.push(error) });
        assert.equal(response.status, code === "source-changed" ? 503 : 502);
        const { error } = /** @type {any} */ (await response.json());
        assert.equal(error.code, code);
        // Where the base is, the log may know, but no client.
        assert.match(error.message, /^model\.safetensors cannot be read: [a-z-]+$/);
        assert.deepEqual(errors.map(({ name }) => name), ["LorafoldError"]);
        assert.match(errors[0].message, says);
      }
      const header = await opened.response(new Request(`http://any/${WEIGHTS}`, { headers: { range: "bytes=0-7" } }));
      assert.equal((await header.arrayBuffer()).byteLength, 8);
      opened.close();
    });
  }

  for (const [how, answer, tries] of /** @type {[string, (asked: Asked) => Answer, number][]} */ ([
    ["that is busy for a moment", (asked) => (later(asked) && asked.count <= 2 ? { status: 503 } : correct(asked)), 4],
    ["that says when to come again", (asked) => (later(asked) && asked.count === 1 ? { status: 429, headers: { "Retry-After": 1 } } : correct(asked)), 3],
    ["that says a date to come again", (asked) => (later(asked) && asked.count === 1 ? { status: 429, headers: { "Retry-After": new Date(Date.now() + 900).toUTCString() } } : correct(asked)), 3],
    ["that loses a connection", (asked) => (later(asked) && asked.count === 1 ? { ...correct(asked), headers: { ...correct(asked).headers, "Content-Length": correct(asked).body?.length ?? 0 }, cutAfter: 30 } : correct(asked)), 3],
    ["that hangs up before it answers", (asked) => (later(asked) && asked.count <= 2 ? { silent: true } : correct(asked)), 4],
  ])) {
    test(`${how} is asked again`, async (t) => {
      const { base, adapter } = tinyModel();
      const server = await scriptedServer(base, answer);
      t.after(server.close);
      const written = (await mergedFiles({ base: asFiles(base), adapters: [asFiles(adapter)] })).get(WEIGHTS);
      const opened = await openMerged({ base: server.url, adapters: [asFiles(adapter)] });
      assert.ok(written?.equals(await opened.read(WEIGHTS)));
      assert.equal(server.counts[WEIGHTS], tries);
      opened.close();
    });
  }

  test("without ranges is refused, and its small files are not", async (t) => {
    const { base, adapter } = tinyModel();
    const server = await scriptedServer(base, whole);
    t.after(server.close);
    await assert.rejects(openMerged({ base: server.url, adapters: [asFiles(adapter)] }), { name: "LorafoldError", code: "no-range-support", message: /model\.safetensors/ });
    const adapters = await scriptedServer(adapter, whole);
    t.after(adapters.close);
    const opened = await openMerged({ base: asFiles(base), adapters: [adapters.url] });
    assert.ok((await opened.read(WEIGHTS)).length > 0);
    opened.close();
  });

  test("that wants a token gets it with every request", async (t) => {
    const { base, adapter } = tinyModel();
    const all = { ...base, ...adapter };
    const server = await scriptedServer(all, (asked) => (asked.headers.authorization === "Bearer sesame" ? correct(asked) : { status: 401 }));
    t.after(server.close);
    const remote = { url: server.url, headers: { Authorization: "Bearer sesame" } };
    const opened = await openMerged({ base: remote, adapters: [{ source: remote }] });
    assert.ok((await opened.read(WEIGHTS)).length > 0);
    opened.close();
    const { files } = await merge({ base: remote, adapters: [remote], workers: 1 });
    assert.ok(files.length > 1);
    await assert.rejects(openMerged({ base: server.url, adapters: [asFiles(tinyModel().adapter)] }), { code: "fetch-failed", message: /401/ });
  });
});
