// @ts-check
// What servers answer to ranged requests: other bytes than they seem to be, no name for their state any more, an end too early, silence.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { createApi } from "../../pkg/api.js";
import { createContext } from "../../pkg/context.js";
import { nodePlatform } from "../../pkg/node/context.js";
import { merge, openMerged, plan } from "../../pkg/node.js";
import { NETWORK } from "../../pkg/sources/network.js";
import { RemoteFile } from "../../pkg/sources/remote.js";
import { correct, scriptedServer, whole } from "./scripted-server.mjs";
import { hashes } from "./scratch.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const WEIGHTS = "model.safetensors";
const TEXT = "tokenizer.json";

/** @typedef {import("./scripted-server.mjs").Asked} Asked */
/** @typedef {import("./scripted-server.mjs").Answer} Answer */

/** A tiny model on a server. @param {{ after: (hook: () => Promise<void>) => void }} t @param {(asked: Asked) => Answer} answer */
async function served(t, answer) {
  const { base, adapter } = tinyModel();
  base[TEXT] = Buffer.from(JSON.stringify(Array.from({ length: 999 }, (_, token) => `token ${token}`)));
  const server = await scriptedServer(base, answer);
  t.after(server.close);
  return { base, server, adapters: [asFiles(adapter)] };
}

/** Requests for the weights once the model is open. @param {Asked} asked */
const later = ({ name, count }) => name === WEIGHTS && count > 0;

/** @param {Asked} asked @param {Record<string, string>} headers @returns {Answer} */
const saying = (asked, headers) => ({ ...correct(asked), headers: { ...correct(asked).headers, ...headers } });

/** Answers that nobody may merge otherwise than the files themselves. @type {[string, (asked: Asked) => Answer][]} */
const HARMLESS = [
  ["that encodes a file and ranges alike", (asked) => (asked.name === TEXT && asked.file ? saying({ ...asked, file: gzipSync(asked.file) }, { "Content-Encoding": "gzip" }) : correct(asked))],
  ["that encodes weights and ranges alike", (asked) => (asked.name === WEIGHTS && asked.file ? saying({ ...asked, file: gzipSync(asked.file) }, { "Content-Encoding": "gzip" }) : correct(asked))],
  ["that refuses an end beyond the file's", (asked) => (asked.file && asked.range && asked.range[1] >= asked.file.length ? { status: 416, headers: { "Content-Range": `bytes */${asked.file.length}` } } : correct(asked))],
  ["that refuses an end beyond the file's without a word", (asked) => (asked.file && asked.range && asked.range[1] >= asked.file.length ? { status: 416 } : correct(asked))],
  ["that does not say which range it sends", (asked) => (asked.range ? { ...correct(asked), headers: {}, ...(asked.name === TEXT && { body: asked.file?.subarray(8) }) } : correct(asked))],
];

describe("a server is merged as its files are", () => {
  for (const [how, answer] of HARMLESS) {
    test(how, async (t) => {
      const { base, server, adapters } = await served(t, answer);
      assert.deepEqual(await hashes(await merge({ base: server.url, adapters, workers: 0 })), await hashes(await merge({ base: asFiles(base), adapters, workers: 0 })));
    });
  }
});

const [MONDAY, TUESDAY] = ["Mon, 06 Jan 2025 00:00:00 GMT", "Tue, 07 Jan 2025 00:00:00 GMT"];

/** Answers that come once the model is open, and what comes of them. @type {[string, (asked: Asked) => Answer, string | undefined, RegExp?][]} */
const LATER = [
  ["encoded ranges", (asked) => (later(asked) ? saying(asked, { "Content-Encoding": "br" }) : correct(asked)), "no-range-support", /Content-Encoding/],
  ["a range of which it does not say which", (asked) => (later(asked) ? { ...correct(asked), headers: {} } : correct(asked)), "no-range-support", /Content-Range/],
  ["several ranges", (asked) => (later(asked) ? saying(asked, { "Content-Type": "multipart/byteranges; boundary=x" }) : correct(asked)), "no-range-support", /./],
  ["no ETag any more", (asked) => (later(asked) ? correct(asked) : saying(asked, { ETag: '"a"' })), "source-changed", /no longer says .*"a"/],
  ["no date any more, but an ETag", (asked) => saying(asked, later(asked) ? { ETag: '"a"' } : { "Last-Modified": MONDAY }), "source-changed", /no longer says .*Mon/],
  ["no ETag any more, and another date", (asked) => saying(asked, later(asked) ? { "Last-Modified": TUESDAY } : { ETag: '"a"', "Last-Modified": MONDAY }), "source-changed", /Mon.*Tue/],
  ["no ETag any more, and the same date", (asked) => saying(asked, later(asked) ? { "Last-Modified": MONDAY } : { ETag: '"a"', "Last-Modified": MONDAY }), undefined],
  ["an ETag besides the date", (asked) => saying(asked, later(asked) ? { ETag: '"a"', "Last-Modified": MONDAY } : { "Last-Modified": MONDAY }), undefined],
  ["the same ETag, and another date", (asked) => saying(asked, { ETag: '"a"', "Last-Modified": later(asked) ? TUESDAY : MONDAY }), undefined],
  ["bodies that end early, without a length", (asked) => (later(asked) ? { ...correct(asked), body: correct(asked).body?.subarray(0, 50) } : correct(asked)), "fetch-failed", /too early/],
  ["a body that ends early once", (asked) => (later(asked) && asked.count === 1 ? { ...correct(asked), body: correct(asked).body?.subarray(0, 50) } : correct(asked)), undefined],
];

describe("a server that later gives", () => {
  for (const [what, answer, code, says] of LATER) {
    test(what, async (t) => {
      const { base, server, adapters } = await served(t, answer);
      const model = await openMerged({ base: server.url, adapters });
      const reading = model.read(WEIGHTS);
      if (code) {
        await assert.rejects(reading, { name: "LorafoldError", code, message: says });
      } else {
        const written = (await merge({ base: asFiles(base), adapters, workers: 0 })).files.find(({ name }) => name === WEIGHTS);
        assert.ok(Buffer.from(await /** @type {Blob} */ (await written?.blob()).arrayBuffer()).equals(await reading));
      }
      assert.equal(model.changed, code === "source-changed");
      model.close();
    });
  }
});

test("a page may not be let see which range a server of another origin sends", async (t) => {
  const bytes = new Uint8Array([1, 2, 3]);
  const answer = () => Object.defineProperty(new Response(bytes, { status: 206 }), "type", { value: "cors" });
  t.mock.method(globalThis, "fetch", async () => answer());
  assert.deepEqual(await new RemoteFile({ url: "http://any.example/x", size: 9, ranges: true }).read(3, 6), bytes);
});

test("ranges are asked for as the bytes are", async (t) => {
  /** @type {Set<string | undefined>} */
  const encodings = new Set();
  const { server, adapters } = await served(t, (asked) => {
    if (asked.range) encodings.add(asked.headers["accept-encoding"]?.split(",")[0]);
    return correct(asked);
  });
  await plan({ base: server.url, adapters });
  assert.deepEqual([...encodings], ["identity"]);
});

test("errors name a URL without what it asks for", async (t) => {
  const { server, adapters } = await served(t, (asked) => (asked.name === WEIGHTS ? { status: 403 } : correct(asked)));
  for (const base of [`${server.url}?sig=SECRET`, `${server.url}model.safetensors?sig=SECRET`, "ftp://any.example/?sig=SECRET", "http://user:SECRET@127.0.0.1:1/x.safetensors?sig=SECRET"]) {
    const error = await plan({ base, adapters }).catch((/** @type {any} */ thrown) => thrown);
    assert.equal(error.name, "LorafoldError");
    assert.ok(!error.message.includes("sig="), error.message);
  }
});

describe("silence", () => {
  const network = { ...NETWORK, retryDelays: [0, 0, 0], stallTimeout: 30 };
  const context = createContext({ ...nodePlatform, network });
  const impatient = createApi(() => context);
  const file = () => new RemoteFile({ url: "http://any.example/x?sig=1", size: 9, ranges: true, init: { network } });

  test("instead of an answer ends the request, and after some tries the read", async (t) => {
    let [asked, open] = [0, 0];
    t.mock.method(globalThis, "fetch", (/** @type {string} */ _, /** @type {{ signal: AbortSignal }} */ { signal }) => {
      asked++;
      assert.equal(open++, 0, "another request is under way");
      return new Promise((_, reject) => signal.addEventListener("abort", () => {
        open--;
        reject(signal.reason);
      }));
    });
    await assert.rejects(file().read(0, 9), { code: "fetch-failed", message: /\/x: nothing has come/ });
    assert.deepEqual([asked, open], [4, 0]);
  });

  test("in the middle of a body ends it, and the rest is asked for", async (t) => {
    /** @type {string[]} */
    const ranges = [];
    let open = 0;
    t.mock.method(globalThis, "fetch", async (/** @type {string} */ _, /** @type {{ headers: { range: string } }} */ { headers }) => {
      const first = Number(/** @type {RegExpExecArray} */ (/=(\d+)-/.exec(headers.range))[1]);
      ranges.push(headers.range);
      assert.equal(open++, 0, "another body is under way");
      const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([first, first + 1, first + 2])), cancel: () => void open-- });
      return new Response(body, { status: 206, headers: { "content-range": `bytes ${first}-8/9` } });
    });
    assert.deepEqual([...(await file().read(0, 9))], [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert.deepEqual(ranges, ["bytes=0-8", "bytes=3-8", "bytes=6-8"]);
    assert.equal(open, 0);
  });

  test("in the middle of a whole file is an error", async (t) => {
    t.mock.method(globalThis, "fetch", async () => new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(3)) })));
    await assert.rejects(impatient.plan({ base: "http://any.example/model/", adapters: [asFiles(tinyModel().adapter)] }), { code: "fetch-failed", message: /nothing has come/ });
  });
});

test("a file without ranges that ends early has changed", async (t) => {
  const { server, adapters } = await served(t, (asked) => (asked.name === WEIGHTS && asked.count > 0 ? { ...whole(asked), headers: {}, body: asked.file?.subarray(0, -4) } : whole(asked)));
  await assert.rejects(merge({ base: server.url, adapters, workers: 0 }), { code: "source-changed", message: /too early/ });
});
