// @ts-check
// `lorafold serve`: HTTP as clients speak it, against the files that `lorafold merge` writes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { lorafold, start } from "./command.mjs";
import { FIXTURES } from "./fixture.mjs";
import { random } from "./numbers.mjs";
import { sha256 } from "./scratch.mjs";

const MODEL = ["--base", join(FIXTURES, "sample", "tiny-llama"), "--adapter", `${join(FIXTURES, "sample", "storyteller-lora")}@0.8`];
const SHARD = "model-00001-of-00002.safetensors";

/** @type {string} */
let folder;
/** @type {Buffer} */
let shard;
/** @type {{ url: string, files: { name: string, size: number, etag: string }[] }} */
let served;
/** @type {ReturnType<typeof start>} */
let server;

/** The first JSON document that a program prints. @param {import("node:child_process").ChildProcess} child */
const announced = (child) => new Promise((resolve, reject) => {
  let text = "";
  child.stdout?.on("data", (/** @type {string} */ part) => {
    text += part;
    if (text.endsWith("}\n")) resolve(JSON.parse(text));
  });
  child.once("close", () => reject(new Error("it ended")));
});

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lorafold-serve-"));
  assert.equal((await lorafold(["merge", ...MODEL, "--out", join(folder, "merged"), "--quiet"])).code, 0);
  shard = await readFile(join(folder, "merged", SHARD));
  server = start(["serve", ...MODEL, "--port", "0", "--json"]);
  served = await announced(server.child);
});

after(async () => {
  server.child.kill("SIGINT");
  const { code, stderr } = await server.ended;
  assert.equal(code, 0);
  // Nothing that clients do is for who runs the server.
  assert.equal(stderr, "");
  await rm(folder, { recursive: true, force: true });
});

/** @param {string} name @param {Record<string, string>} [headers] @param {string} [method] */
const get = (name, headers = {}, method = "GET") => fetch(new URL(name, served.url), { method, headers });

/** @param {Response} response */
const bytes = async (response) => Buffer.from(await response.arrayBuffer());

test("the listing, and every file whole", async () => {
  const listed = /** @type {any} */ (await (await get("/")).json());
  assert.deepEqual(listed.files, served.files);
  const asked = await get("/", {}, "HEAD");
  assert.deepEqual([asked.status, asked.headers.get("content-type"), (await bytes(asked)).length], [200, "application/json", 0]);
  for (const { name, size, etag } of served.files) {
    const response = await get(`/any/prefix/${name}`);
    assert.deepEqual([response.status, response.headers.get("etag"), response.headers.get("accept-ranges"), Number(response.headers.get("content-length"))], [200, etag, "bytes", size]);
    assert.equal(sha256(await bytes(response)), sha256(await readFile(join(folder, "merged", name))), name);
    const head = await get(name, {}, "HEAD");
    assert.deepEqual([head.status, Number(head.headers.get("content-length")), (await bytes(head)).length], [200, size, 0]);
  }
});

test("a thousand random ranges", async () => {
  const next = random(7);
  const one = async () => {
    const first = Math.floor(next() * shard.length);
    const last = Math.min(shard.length - 1, first + Math.floor(next() ** 3 * 40_000));
    const response = await get(SHARD, { range: `bytes=${first}-${last}` });
    assert.equal(response.status, 206);
    assert.equal(response.headers.get("content-range"), `bytes ${first}-${last}/${shard.length}`);
    assert.equal(response.headers.get("content-length"), String(last - first + 1));
    assert.ok(shard.subarray(first, last + 1).equals(await bytes(response)), `${first}-${last}`);
  };
  for (let turn = 0; turn < 1000; turn += 20) await Promise.all(Array.from({ length: 20 }, one));
});

describe("the forms of Range", () => {
  const size = () => shard.length;
  for (const [range, expected] of /** @type {[string, (n: number) => [number, number] | number][]} */ ([
    ["bytes=0-0", () => [0, 1]],
    ["bytes=5-", (n) => [5, n]],
    ["bytes=-7", (n) => [n - 7, n]],
    ["bytes=-99999999", (n) => [0, n]],
    ["bytes=10-99999999", (n) => [10, n]],
    ["Bytes=3-4", () => [3, 5]],
    ["bytes= 3 - 4 ", () => [3, 5]],
    ["bytes=99999999-", () => 416],
    ["bytes=-0", () => 416],
    ["bytes=7-3", () => 200],
    ["bytes=-", () => 200],
    ["bytes=a-b", () => 200],
    ["bytes=0-1,5-6", () => 200],
    ["lines=0-1", () => 200],
  ])) {
    test(range, async () => {
      const response = await get(SHARD, { range });
      const wanted = expected(size());
      if (typeof wanted === "number") {
        assert.equal(response.status, wanted);
        if (wanted === 416) assert.equal(response.headers.get("content-range"), `bytes */${size()}`);
        else assert.equal((await bytes(response)).length, size());
        await response.body?.cancel().catch(() => undefined);
        return;
      }
      assert.equal(response.status, 206);
      assert.ok(shard.subarray(...wanted).equals(await bytes(response)));
    });
  }
});

describe("conditions", () => {
  const etag = () => served.files.find(({ name }) => name === SHARD)?.etag ?? "";
  for (const [what, headers, status] of /** @type {[string, () => Record<string, string>, number][]} */ ([
    ["If-None-Match of this state", () => ({ "if-none-match": etag() }), 304],
    ["If-None-Match of a list with it", () => ({ "if-none-match": `"x", W/${etag()}` }), 304],
    ["If-None-Match of anything", () => ({ "if-none-match": "*" }), 304],
    ["If-None-Match of another", () => ({ "if-none-match": '"x"' }), 200],
    ["If-Match of this state", () => ({ "if-match": etag() }), 200],
    ["If-Match of another", () => ({ "if-match": '"x"' }), 412],
    ["If-Match of a weak tag", () => ({ "if-match": `W/${etag()}` }), 412],
    ["If-Range of this state", () => ({ "if-range": etag(), range: "bytes=0-3" }), 206],
    ["If-Range of another", () => ({ "if-range": '"x"', range: "bytes=0-3" }), 200],
    ["If-Range of a date", () => ({ "if-range": new Date().toUTCString(), range: "bytes=0-3" }), 200],
    ["a range of what is known", () => ({ "if-none-match": etag(), range: "bytes=0-3" }), 304],
  ])) {
    test(what, async () => {
      const response = await get(SHARD, headers());
      assert.equal(response.status, status);
      assert.equal(response.headers.get("etag"), etag());
      const body = await bytes(response);
      assert.equal(body.length, { 200: shard.length, 206: 4, 304: 0 }[status] ?? body.length);
    });
  }
});

test("other methods, other files, other hosts", async () => {
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
    const response = await get(SHARD, {}, method);
    assert.deepEqual([response.status, response.headers.get("allow")], [405, "GET, HEAD"], method);
  }
  for (const name of ["nothing", "%", "..%2f..%2fetc%2fpasswd", `${SHARD}/`]) assert.equal((await get(`/${name}`)).status, 404, name);
  const { port } = new URL(served.url);
  /** @param {string} host @param {string} path @returns {Promise<number | undefined>} */
  const status = (host, path) => new Promise((resolve, reject) => {
    httpRequest({ host: "127.0.0.1", port, path, headers: { host } }, (response) => resolve(response.resume().statusCode)).on("error", reject).end();
  });
  // A page of another site whose name leads here must not read the model.
  assert.equal(await status("model-thief.example", `/${SHARD}`), 421);
  assert.equal(await status(`localhost:${port}`, `//${SHARD}`), 200);
  assert.equal(await status(`me:secret@localhost:${port}`, `/${SHARD}`), 421);
  // A target that is a whole URL, as proxies are asked, goes before the header.
  assert.equal(await status("model-thief.example", `http://localhost:${port}/${SHARD}`), 200);
  assert.equal(await status(`localhost:${port}`, `http://model-thief.example/${SHARD}`), 421);
});

test("a client that goes away takes nothing with it", async () => {
  for (let turn = 0; turn < 20; turn++) {
    const stop = new AbortController();
    const response = await fetch(new URL(SHARD, served.url), { signal: stop.signal });
    await response.body?.getReader().read();
    stop.abort();
  }
  // Some before the answer, some in its middle.
  const { port } = new URL(served.url);
  for (let turn = 0; turn < 100; turn++) {
    const socket = connect(Number(port), "127.0.0.1");
    await once(socket, "connect");
    socket.write(`GET /${SHARD} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    if (turn % 2) await once(socket, "data");
    socket.resetAndDestroy();
  }
  assert.ok(shard.subarray(100, 200).equals(await bytes(await get(SHARD, { range: "bytes=100-199" }))));
});

test("pages of other sites can neither run nor show what is served", async () => {
  for (const name of ["/", SHARD, "config.json", "nothing"]) {
    const { headers } = await get(name, {}, "HEAD");
    assert.deepEqual([headers.get("x-content-type-options"), headers.get("cross-origin-resource-policy")], ["nosniff", "same-origin"], name);
  }
});

test("connections are counted, and those beyond the limit are closed", async () => {
  const { port } = new URL(served.url);
  const sockets = [];
  try {
    let closed = 0;
    while (closed === 0 && sockets.length < 300) {
      const socket = connect(Number(port), "127.0.0.1").on("error", () => undefined).on("close", () => closed++);
      sockets.push(socket);
      await once(socket, "connect");
      await new Promise(setImmediate);
    }
    const last = /** @type {import("node:net").Socket} */ (sockets.at(-1));
    if (closed === 0) await once(last, "close");
    assert.ok(sockets.length > 200, `${sockets.length}`);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

test("what is wrong is said before anything is served", async () => {
  const port = new URL(served.url).port;
  for (const [args, code, says] of /** @type {[string[], number, RegExp][]} */ ([
    [["serve"], 2, /--base is missing/],
    [["serve", "--base", "x"], 2, /--adapter is missing/],
    [["serve", ...MODEL, "--port", "70000"], 2, /not a port/],
    [["serve", ...MODEL, "--port", "x"], 2, /not a number/],
    [["serve", ...MODEL, "--port", port], 1, /port \d+/],
    [["serve", ...MODEL.slice(0, 3), join(FIXTURES, "gpt2", "adapter")], 1, /unmatched-key/],
  ])) {
    const ended = await lorafold(args);
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stderr, says);
  }
});
