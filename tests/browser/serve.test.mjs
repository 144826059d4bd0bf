// @ts-check
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { parseRange } from "./parse-range.mjs";
import { serve } from "./serve.mjs";

const bytes = Uint8Array.from({ length: 200_000 }, (_, i) => i % 256);

/** @type {string} */
let folder;
/** @type {import("./serve.mjs").TestServer} */
let server;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lorafold-serve-"));
  await mkdir(join(folder, "models"));
  await writeFile(join(folder, "models", "m.safetensors"), bytes);
  await writeFile(join(folder, "models", "empty.json"), "");
  await writeFile(join(folder, "secret.txt"), "secret");
});
after(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  server = await serve({ "/hub": join(folder, "models") });
});
afterEach(() => server.close());

/**
 * @param {string} path
 * @param {Record<string, string>} [headers]
 */
const get = (path, headers) => fetch(server.origin + path, { headers });

test("a range gets 206, its bytes, and an entry in the log", async () => {
  const response = await get("/hub/m.safetensors", { Range: "bytes=10-19" });
  assert.equal(response.status, 206);
  assert.equal(response.headers.get("content-range"), "bytes 10-19/200000");
  assert.deepEqual(new Uint8Array(await response.arrayBuffer()), bytes.slice(10, 20));
  assert.deepEqual(server.requests, [
    { method: "GET", path: "/hub/m.safetensors", range: "bytes=10-19", status: 206, sent: 10, complete: true },
  ]);
});

test("without ranges everything comes, and nothing tells its length", async () => {
  server.set({ ranges: false });
  const response = await get("/hub/m.safetensors", { Range: "bytes=10-19" });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-length"), null);
  assert.equal(response.headers.get("accept-ranges"), null);
  assert.deepEqual(new Uint8Array(await response.arrayBuffer()), bytes);
});

test("ETag, If-None-Match, If-Match, If-Range and HEAD", async () => {
  const head = await fetch(`${server.origin}/hub/m.safetensors`, { method: "HEAD" });
  assert.equal(head.headers.get("content-length"), "200000");
  const tag = head.headers.get("etag") ?? "";
  assert.equal((await get("/hub/m.safetensors", { "If-None-Match": tag })).status, 304);
  assert.equal((await get("/hub/m.safetensors", { "If-Match": '"other"' })).status, 412);
  assert.equal((await get("/hub/m.safetensors", { Range: "bytes=0-1", "If-Range": tag })).status, 206);
  assert.equal((await get("/hub/m.safetensors", { Range: "bytes=0-1", "If-Range": '"other"' })).status, 200);
});

test("fails the first requests that were asked to fail", async () => {
  server.set({ failFirst: { count: 2, status: 503, path: /safetensors/ } });
  const statuses = [];
  for (const path of ["m.safetensors", "empty.json", "m.safetensors", "m.safetensors"]) statuses.push((await get(`/hub/${path}`)).status);
  assert.deepEqual(statuses, [503, 200, 503, 200]);
});

test("cuts the connection in the middle", async () => {
  server.set({ cutAfter: 100_000 });
  const response = await get("/hub/m.safetensors");
  await assert.rejects(response.arrayBuffer());
  assert.equal(server.requests[0].sent, 100_000);
  assert.equal(server.requests[0].complete, false);
});

test("is slow when told to", async () => {
  server.set({ latency: 60, chunkSize: 50_000, chunkDelay: 30 });
  const started = Date.now();
  assert.equal((await (await get("/hub/m.safetensors")).arrayBuffer()).byteLength, 200_000);
  assert.ok(Date.now() - started >= 140, "a latency of 60 ms and four chunks of 30 ms");
});

test("CORS: bare, exposed, and the preflight", async () => {
  assert.equal((await get("/hub/m.safetensors")).headers.get("access-control-allow-origin"), null);
  server.set({ cors: "bare" });
  const bare = await get("/hub/m.safetensors");
  assert.equal(bare.headers.get("access-control-allow-origin"), "*");
  assert.equal(bare.headers.get("access-control-expose-headers"), null);
  server.set({ cors: "exposed" });
  assert.match((await get("/hub/m.safetensors")).headers.get("access-control-expose-headers") ?? "", /Content-Range/);
  assert.equal((await fetch(`${server.origin}/hub/m.safetensors`, { method: "OPTIONS" })).status, 204);
});

test("serves its folder and nothing else", async () => {
  assert.equal((await get("/hub/%2e%2e%2fsecret.txt")).status, 404);
  assert.equal((await get("/secret.txt")).status, 404);
  assert.equal((await get("/hub/none")).status, 404);
  const empty = await get("/hub/empty.json");
  assert.equal(empty.headers.get("content-type"), "application/json");
  assert.equal(await empty.text(), "");
});

test("ranges as RFC 9110 reads them", () => {
  assert.deepEqual(parseRange("bytes=0-0", 10), [0, 1]);
  assert.deepEqual(parseRange("bytes=4-", 10), [4, 10]);
  assert.deepEqual(parseRange("bytes=-3", 10), [7, 10]);
  assert.deepEqual(parseRange("bytes=-30", 10), [0, 10]);
  assert.deepEqual(parseRange("bytes=5-99", 10), [5, 10]);
  assert.equal(parseRange("bytes=10-", 10), "unsatisfiable");
  assert.equal(parseRange("bytes=-0", 10), "unsatisfiable");
  assert.equal(parseRange("bytes=0-1,3-4", 10), "whole");
  assert.equal(parseRange("bytes=5-4", 10), "whole");
  assert.equal(parseRange("lines=1-2", 10), "whole");
  assert.equal(parseRange(undefined, 10), "whole");
});
