// @ts-check
// The serving template in workerd: a merged model out of R2, or of a base behind a URL, under the platform's limits.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { Miniflare } from "miniflare";
import { merge } from "../../pkg/node.js";
import { serve } from "../browser/serve.mjs";
import { doraModel } from "../js/dora-model.mjs";
import { fixture, FIXTURES } from "../js/fixture.mjs";
import { random } from "../js/numbers.mjs";
import { buildSafetensors } from "../js/safetensors-file.mjs";
import { scratch, sha256, writeFolder } from "../js/scratch.mjs";
import { correct, scriptedServer } from "../js/scripted-server.mjs";
import { factor, Q, V } from "../js/tiny-model.mjs";
import { bundle, root, upload } from "./isolate.mjs";

const SAMPLE = join(root, "tests", "fixtures", "sample");
const ADAPTERS = [["storyteller-lora", 0.8], ["terse-rslora", -0.3]];
const VARS = /** @type {Record<string, string>} */ (
  Object.fromEntries([...readFileSync(join(root, "pkg-templates", "edge", "wrangler.toml"), "utf8").matchAll(/^([A-Z_]+) = "(.*)"$/gm)].map(([, name, value]) => [name, value]))
);

/** @type {Awaited<ReturnType<typeof bundle>>} */
let modules;
/** @type {Map<string, Buffer>} */
let written;
/** @type {import("../browser/serve.mjs").TestServer} */
let origin;

before(async () => {
  modules = await bundle(join(root, "pkg-templates", "edge", "src", "index.ts"));
  const merged = await merge({ base: join(SAMPLE, "tiny-llama"), adapters: ADAPTERS.map(([name, weight]) => ({ source: join(SAMPLE, String(name)), weight: Number(weight) })) });
  written = await filesOf(merged);
  origin = await serve({ "/": SAMPLE });
});
after(() => origin?.close());

/** @param {{ after: (hook: () => Promise<void>) => void }} t @param {Record<string, string>} bindings */
async function isolate(t, bindings) {
  const flare = new Miniflare({ modules, modulesRoot: "/", compatibilityDate: "2025-09-01", compatibilityFlags: ["enable_request_signal"], r2Buckets: ["BUCKET"], bindings: { ...VARS, ...bindings } });
  t.after(() => flare.dispose());
  return flare;
}

/** @param {import("../../pkg/types.js").MergeResult} merged */
const filesOf = async (merged) =>
  new Map(await Promise.all(merged.files.map(async ({ name, blob }) => /** @type {const} */ ([name, Buffer.from(await (await blob()).arrayBuffer())]))));

/** @param {string} prefix */
const adaptersAt = (prefix) => JSON.stringify(ADAPTERS.map(([name, weight]) => ({ source: `${prefix}${name}`, weight })));

/**
 * Not compressed on the way: the local platform does that whatever `no-transform` says.
 * @param {Miniflare} flare @param {string} path @param {Record<string, string>} [headers] @param {string} [method]
 */
const get = (flare, path, headers = {}, method = "GET") =>
  flare.dispatchFetch(`http://edge.example/${path}`, { method, headers: { "accept-encoding": "identity", ...headers } });

/** @param {{ arrayBuffer(): Promise<ArrayBuffer> }} response */
const bytes = async (response) => Buffer.from(await response.arrayBuffer());

/** Every file whole, and random ranges of the weights. @param {Miniflare} flare */
async function compare(flare, files = written) {
  for (const [name, whole] of files) {
    const response = await get(flare, `models/mine/${name}`);
    assert.equal(response.status, 200, `${name}: ${response.status}`);
    assert.equal(Number(response.headers.get("content-length")), whole.length, name);
    assert.equal(sha256(await bytes(response)), sha256(whole), name);
  }
  const next = random(3);
  const [name, whole] = /** @type {[string, Buffer]} */ ([...files].find(([name]) => name.endsWith(".safetensors")));
  await Promise.all(Array.from({ length: 40 }, async () => {
    const start = Math.floor(next() * whole.length);
    const end = Math.min(whole.length, start + 1 + Math.floor(next() ** 2 * 30_000));
    const response = await get(flare, name, { range: `bytes=${start}-${end - 1}` });
    assert.deepEqual([response.status, response.headers.get("content-length")], [206, String(end - start)]);
    assert.ok(whole.subarray(start, end).equals(await bytes(response)));
  }));
}

/** @param {Miniflare} flare @param {string} folder @param {string} prefix */
async function fill(flare, folder, prefix) {
  const bucket = /** @type {any} */ (await flare.getR2Bucket("BUCKET"));
  await upload(bucket, prefix, join(SAMPLE, folder));
  return bucket;
}

describe("the serving template", () => {
  test("from R2", async (t) => {
    const flare = await isolate(t, { BASE: "r2:models/tiny", ADAPTERS: adaptersAt("r2:adapters/") });
    await fill(flare, "tiny-llama", "models/tiny");
    for (const [name] of ADAPTERS) await fill(flare, String(name), `adapters/${name}`);
    await compare(flare);
  });

  test("from a base behind a URL, with a request for each range and a token", async (t) => {
    const flare = await isolate(t, { BASE: `${origin.origin}/tiny-llama/`, ADAPTERS: adaptersAt(`${origin.origin}/`), BASE_TOKEN: "sesame" });
    await compare(flare);
    const before = origin.requests.length;
    const name = [...written.keys()].find((file) => file.endsWith(".safetensors"));
    await bytes(await get(flare, String(name)));
    assert.deepEqual(origin.requests.slice(before).map(({ path, status }) => [path, status]), [[`/tiny-llama/${name}`, 206]]);
  });

  test("a model is opened with one request for each file, over four connections", async (t) => {
    const server = await serve({ "/": SAMPLE });
    t.after(server.close);
    const flare = await isolate(t, { BASE: `${server.origin}/tiny-llama/`, ADAPTERS: adaptersAt(`${server.origin}/`) });
    assert.ok(written.get("config.json")?.equals(await bytes(await get(flare, "config.json"))));
    const asked = server.requests.map(({ path }) => path);
    assert.deepEqual(asked.filter((path, index) => asked.indexOf(path) !== index), []);
    assert.ok(asked.length > 20, "names that a folder may have are not tried");
    // Most of those are not there: that must not cost a connection each.
    assert.ok(server.connections <= 4, `${server.connections} connections`);
    for (const [name] of ADAPTERS) assert.equal(asked.filter((path) => path === `/${name}/adapter_model.safetensors`).length, 1);
  });

  test("DoRA, on a linear layer and on a Conv1D", async (t) => {
    const folder = await scratch(t);
    const model = await doraModel(folder);
    const adapters = [["one", 1], ["other", 0.4]];
    const files = await filesOf(await merge({ base: model.base, adapters: adapters.map(([name, weight]) => ({ source: join(folder, String(name)), weight: Number(weight) })) }));
    const server = await serve({ "/": folder });
    t.after(server.close);
    const sources = adapters.map(([name, weight]) => ({ source: `${server.origin}/${name}/`, weight }));
    await compare(await isolate(t, { BASE: `${server.origin}/base/`, ADAPTERS: JSON.stringify(sources) }), files);
  });

  for (const name of ["oft-two", "oft-layers", "dora-and-lora-gpt2", "lokr-conv", "experts-mixtral", "experts-gpt-oss", "waveft"]) {
    test(`what PEFT made: ${name}`, async (t) => {
      const { base, adapters } = fixture(name);
      const files = await filesOf(await merge({ base, adapters: adapters.map(({ path, weight }) => ({ source: path, weight })) }));
      const server = await serve({ "/": FIXTURES });
      t.after(server.close);
      const at = (/** @type {string} */ folder) => `${server.origin}/${relative(FIXTURES, folder)}/`;
      const sources = adapters.map(({ path, weight }) => ({ source: at(path), weight }));
      await compare(await isolate(t, { BASE: at(base), ADAPTERS: JSON.stringify(sources) }), files);
    });
  }

  test("more clients at once than there are permits, each with more than one request's share", async (t) => {
    const folder = await scratch(t);
    const next = random(5);
    const noise = (/** @type {number} */ count) => Array.from({ length: count }, () => next() - 0.5);
    const side = 1024;
    await writeFolder(join(folder, "base"), { "config.json": "{}", "model.safetensors": buildSafetensors({
      [`${Q}.weight`]: { dtype: "BF16", shape: [side, side], values: noise(side * side) },
      [`${V}.weight`]: { dtype: "BF16", shape: [side, side], values: noise(side * side) },
      "model.norm.weight": { dtype: "BF16", shape: [side], values: noise(side) },
    }) });
    const factors = [Q, V].flatMap((module) => [[factor(module, "A"), [4, side]], [factor(module, "B"), [side, 4]]]);
    await writeFolder(join(folder, "adapter"), { "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: 4, lora_alpha: 8 }),
      "adapter_model.safetensors": buildSafetensors(Object.fromEntries(factors.map(([name, shape]) => [name, { dtype: "F32", shape, values: noise(4 * side) }]))) });
    const { files } = await merge({ base: join(folder, "base"), adapters: [join(folder, "adapter")] });
    const whole = await bytes(/** @type {Blob} */ (await files.find(({ name }) => name === "model.safetensors")?.blob()));
    const slow = await serve({ "/": folder }, { latency: 10 });
    t.after(slow.close);
    const flare = await isolate(t, { BASE: `${slow.origin}/base/`, ADAPTERS: JSON.stringify([{ source: `${slow.origin}/adapter/` }]) });
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, slow.requests.filter(({ complete }) => !complete).length)), 1);
    t.after(async () => clearInterval(watch));
    await bytes(await get(flare, "config.json"));
    assert.ok(most >= 2 && most <= 4, `${most} requests at once while the model is opened`);
    slow.set({ latency: 0 });
    // Over real connections, one after another on each: there requests outlive each other.
    const url = new URL("model.safetensors", await flare.ready);
    await Promise.all(Array.from({ length: 50 }, async (_, client) => {
      for (let turn = 0; turn < 40; turn++) {
        const length = 1 + Math.floor(next() ** 2 * (3 << 20));
        const start = Math.floor(next() * (whole.length - length));
        const response = await fetch(url, { headers: { range: `bytes=${start}-${start + length - 1}`, "accept-encoding": "identity" } });
        const body = await bytes(response);
        assert.equal(response.status, 206, body.toString("utf8", 0, 500));
        assert.ok(whole.subarray(start, start + length).equals(body), `client ${client}`);
      }
    }));
  });

  test("the base's token goes to the base's server alone", async (t) => {
    /** @type {string[]} */
    const seen = [];
    const watched = async (/** @type {string} */ name) => {
      const files = Object.fromEntries(["tiny-llama", "storyteller-lora"].flatMap((folder) => readdirSync(join(SAMPLE, folder)).map((file) => [`${folder}/${file}`, readFileSync(join(SAMPLE, folder, file))])));
      const server = await scriptedServer(files, (asked) => {
        if (asked.headers.authorization) seen.push(`${name} ${asked.headers.authorization} ${asked.name.split("/")[0]}`);
        return correct(asked);
      });
      t.after(server.close);
      return server;
    };
    const [one, other] = [await watched("one"), await watched("other")];
    const adapters = [one, other].map(({ url }) => ({ source: `${url}storyteller-lora/`, weight: 0.5 }));
    const flare = await isolate(t, { BASE: `${one.url}tiny-llama/`, ADAPTERS: JSON.stringify(adapters), BASE_TOKEN: "sesame" });
    assert.equal((await get(flare, "config.json")).status, 200);
    assert.deepEqual([...new Set(seen)].sort(), ["one Bearer sesame storyteller-lora", "one Bearer sesame tiny-llama"]);
  });

  test("what is not allowed is not there", async (t) => {
    const flare = await isolate(t, { BASE: "r2:models/tiny", ADAPTERS: adaptersAt("r2:adapters/"), ALLOW: "*.safetensors config.json" });
    await fill(flare, "tiny-llama", "models/tiny");
    for (const [name] of ADAPTERS) await fill(flare, String(name), `adapters/${name}`);
    for (const [path, status] of /** @type {[string, number][]} */ ([["config.json", 200], ["a/b/config.json", 200], ["tokenizer.json", 404], ["", 404], ["xconfig.json", 404], ["nothing.safetensors", 404]])) {
      const response = await get(flare, path);
      assert.equal(response.status, status, path);
      await response.arrayBuffer();
    }
    assert.equal((await get(flare, "config.json", {}, "POST")).status, 405);
  });

  test("a token is asked for, and what it guards is not for public caches", async (t) => {
    const flare = await isolate(t, { BASE: "r2:models/tiny", ADAPTERS: adaptersAt(`${origin.origin}/`), ACCESS_TOKEN: "open" });
    await fill(flare, "tiny-llama", "models/tiny");
    for (const headers of /** @type {Record<string, string>[]} */ ([{}, { authorization: "Bearer shut" }, { authorization: "open" }, { authorization: "Bearer " }])) {
      const response = await get(flare, "config.json", headers);
      assert.deepEqual([response.status, response.headers.get("www-authenticate")], [401, "Bearer"]);
      await response.arrayBuffer();
    }
    const response = await get(flare, "config.json", { authorization: "Bearer open" });
    assert.deepEqual([response.status, response.headers.get("cache-control")], [200, "private, max-age=3600, no-transform"]);
    await response.arrayBuffer();
  });

  test("no spelling of a cache's permission makes what a token guards public", async (t) => {
    for (const [wanted, sent] of [["Public, max-age=5", "private, max-age=5"], ["max-age=5 , PUBLIC", "private, max-age=5"], ["private", "private"]]) {
      const flare = await isolate(t, { BASE: "r2:models/tiny", ADAPTERS: adaptersAt(`${origin.origin}/`), ACCESS_TOKEN: "open", CACHE_CONTROL: wanted });
      await fill(flare, "tiny-llama", "models/tiny");
      const response = await get(flare, "config.json", { authorization: "Bearer open" });
      assert.equal(response.headers.get("cache-control"), sent);
      await response.arrayBuffer();
    }
  });

  test("conditions are answered, and caches are told how long", async (t) => {
    const flare = await isolate(t, { BASE: `${origin.origin}/tiny-llama/`, ADAPTERS: adaptersAt(`${origin.origin}/`) });
    const head = await get(flare, "config.json", {}, "HEAD");
    const etag = head.headers.get("etag") ?? "";
    assert.deepEqual([head.status, head.headers.get("content-length"), head.headers.get("accept-ranges"), head.headers.get("cache-control")],
      [200, String(written.get("config.json")?.length), "bytes", "public, max-age=3600, no-transform"]);
    assert.equal((await get(flare, "config.json", { "if-none-match": etag })).status, 304);
    assert.equal((await get(flare, "config.json", { range: "bytes=999999-" })).status, 416);
    const partial = await get(flare, "config.json", { range: "bytes=0-3", "if-range": etag });
    assert.deepEqual([partial.status, (await bytes(partial)).length], [206, 4]);
  });

  test("a base that is replaced is never mixed, and is served anew", async (t) => {
    const flare = await isolate(t, { BASE: "r2:models/tiny", ADAPTERS: adaptersAt("r2:adapters/") });
    const bucket = await fill(flare, "tiny-llama", "models/tiny");
    for (const [name] of ADAPTERS) await fill(flare, String(name), `adapters/${name}`);
    const shard = String([...written.keys()].find((file) => file.endsWith(".safetensors")));
    const range = { range: "bytes=-1000" };
    const first = await get(flare, shard, range);
    assert.ok(written.get(shard)?.subarray(-1000).equals(await bytes(first)));
    const changed = new Uint8Array(readFileSync(join(SAMPLE, "tiny-llama", shard)));
    changed.fill(0, changed.length - 5000);
    await bucket.put(`models/tiny/${shard}`, changed);
    const broken = await get(flare, shard, range);
    assert.equal(broken.status, 503);
    assert.equal(/** @type {any} */ (await broken.json()).error.code, "source-changed");
    const anew = await get(flare, shard, range);
    assert.equal(anew.status, 206);
    assert.notEqual(anew.headers.get("etag"), first.headers.get("etag"));
    assert.ok(!written.get(shard)?.subarray(-1000).equals(await bytes(anew)));
  });

  test("a base that is replaced is found out before a whole file's body begins", async (t) => {
    const flare = await isolate(t, { BASE: "r2:models/tiny", ADAPTERS: adaptersAt("r2:adapters/") });
    const bucket = await fill(flare, "tiny-llama", "models/tiny");
    for (const [name] of ADAPTERS) await fill(flare, String(name), `adapters/${name}`);
    const shard = String([...written.keys()].find((file) => file.endsWith(".safetensors")));
    const url = new URL(shard, await flare.ready);
    const whole = () => fetch(url, { headers: { "accept-encoding": "identity" } });
    const first = await whole();
    assert.ok(written.get(shard)?.equals(await bytes(first)));
    const changed = new Uint8Array(readFileSync(join(SAMPLE, "tiny-llama", shard)));
    changed.fill(0, changed.length - 5000);
    await bucket.put(`models/tiny/${shard}`, changed);
    // The header is the plan's, but the answer does not begin with it before the base's bytes are there.
    const broken = await whole();
    assert.equal(broken.status, 503);
    assert.equal(/** @type {any} */ (await broken.json()).error.code, "source-changed");
    const anew = await whole();
    assert.equal(anew.status, 200);
    assert.notEqual(anew.headers.get("etag"), first.headers.get("etag"));
    assert.equal((await bytes(anew)).length, written.get(shard)?.length);
  });

  test("requests that come at once share one opening, also when the base has changed, and when who opens it goes away", async (t) => {
    const slow = await serve({ "/": SAMPLE }, { latency: 15 });
    t.after(slow.close);
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, slow.requests.filter(({ complete }) => !complete).length)), 1);
    t.after(async () => clearInterval(watch));
    const flare = await isolate(t, { BASE: `${slow.origin}/tiny-llama/`, ADAPTERS: adaptersAt(`${slow.origin}/`) });
    const [name] = [...written.keys()].filter((file) => file.endsWith(".safetensors"));
    const url = new URL(name, await flare.ready);
    const head = (/** @type {AbortSignal} */ signal) => fetch(url, { method: "HEAD", signal }).then(({ status }) => status, () => "gone");
    const gone = new AbortController();
    const first = slow.next();
    const leaving = head(gone.signal);
    await first;
    const staying = Array.from({ length: 20 }, () => head(AbortSignal.timeout(30_000)));
    await new Promise((resolve) => setTimeout(resolve, 20));
    gone.abort();
    assert.equal(await leaving, "gone");
    assert.deepEqual(new Set(await Promise.all(staying)), new Set([200]));
    const opening = slow.requests.filter(({ path, complete }) => complete && path.endsWith("/adapter_config.json")).length;
    assert.equal(opening, ADAPTERS.length);
    assert.ok(most <= 4, `${most} requests at once`);
    // Another state of every file, as far as the server says.
    slow.set({ headers: { "Last-Modified": "now" }, etag: false });
    assert.equal((await get(flare, name)).status, 503);
    most = 0;
    assert.deepEqual(new Set(await Promise.all(Array.from({ length: 20 }, () => head(AbortSignal.timeout(30_000))))), new Set([200]));
    assert.equal(slow.requests.filter(({ path }) => path.endsWith("/adapter_config.json")).length, 2 * ADAPTERS.length);
    assert.ok(most <= 4, `${most} requests at once`);
  });

  test("clients are not told where the base is, nor how it is asked", async (t) => {
    let broken = true;
    const files = Object.fromEntries(readdirSync(join(SAMPLE, "tiny-llama")).map((file) => [file, readFileSync(join(SAMPLE, "tiny-llama", file))]));
    const server = await scriptedServer(files, (asked) => (broken ? { status: 403 } : correct(asked)));
    t.after(server.close);
    const flare = await isolate(t, { BASE: `${server.url}?sig=SECRET`, ADAPTERS: adaptersAt(`${origin.origin}/`) });
    const [name] = [...written.keys()].filter((file) => file.endsWith(".safetensors"));
    for (const opened of [false, true]) {
      broken = !opened;
      if (opened) assert.equal((await get(flare, name, {}, "HEAD")).status, 200);
      broken = true;
      const response = await get(flare, name);
      const text = await response.text();
      assert.equal(response.status, 502);
      assert.equal(JSON.parse(text).error.code, "fetch-failed");
      assert.doesNotMatch(text, /SECRET|127\.0\.0\.1|http/);
    }
  });

  test("a file may be allowed by any name", async (t) => {
    const flare = await isolate(t, { BASE: "r2:models/tiny", ADAPTERS: adaptersAt(`${origin.origin}/`), ALLOW: "größe.json" });
    const bucket = await fill(flare, "tiny-llama", "models/tiny");
    await bucket.put("models/tiny/größe.json", "{}");
    assert.equal(await (await get(flare, encodeURIComponent("größe.json"))).text(), "{}");
    for (const path of ["config.json", "%", "gr%ff.json"]) assert.equal((await get(flare, path)).status, 404, path);
  });

  test("what is wrong is said with its code", async (t) => {
    for (const [bindings, code] of /** @type {[Record<string, string>, string][]} */ ([
      [{ BASE: "r2:nowhere", ADAPTERS: adaptersAt(`${origin.origin}/`) }, "wrong-input"],
      [{ BASE: `${origin.origin}/nowhere/`, ADAPTERS: adaptersAt(`${origin.origin}/`) }, "fetch-failed"],
      [{ BASE: `${origin.origin}/tiny-llama/`, ADAPTERS: JSON.stringify([{ source: `${origin.origin}/tiny-llama/` }]) }, "wrong-input"],
      // What nobody reads, or would be ignored.
      [{ BASE: `${origin.origin}/tiny-llama/`, ADAPTERS: "[]" }, "bad-option"],
      [{ BASE: `${origin.origin}/tiny-llama/`, ADAPTERS: JSON.stringify([{ source: `${origin.origin}/storyteller-lora/`, wieght: 2 }]) }, "bad-option"],
      [{ BASE: `${origin.origin}/tiny-llama/`, ADAPTERS: "{}" }, "failed"],
      [{ BASE: `${origin.origin}/tiny-llama/`, ADAPTERS: adaptersAt(`${origin.origin}/`), DTYP: "float16" }, "failed"],
    ])) {
      const flare = await isolate(t, bindings);
      const response = await get(flare, "config.json");
      assert.ok(response.status >= 500, String(response.status));
      assert.equal(/** @type {any} */ (await response.json()).error.code, code);
    }
  });
});
