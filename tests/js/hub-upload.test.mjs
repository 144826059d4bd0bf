// @ts-check
// Searching the hub, and uploading a merged model to it.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { Sha256 } from "../../pkg/hub/sha256.js";
import { searchModels, upload } from "../../pkg/hub.js";
import { upload as uploadInNode } from "../../pkg/hub-node.js";
import { merge } from "../../pkg/node.js";
import { fakeHub } from "../fake-hub.mjs";
import { lorafold } from "./command.mjs";
import { random } from "./numbers.mjs";
import { scratch, writeFolder } from "./scratch.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const { base, adapter } = tinyModel();
const TOKEN = "hf_SECRETwriter0123456789";
const READER = "hf_SECRETreader0123456789";

/** @type {Awaited<ReturnType<typeof fakeHub>>} */
let hub;
/** @type {{ endpoint: string, token: string }} */
let user;
before(async () => {
  hub = await fakeHub({ partSize: 1000 });
  hub.accounts.set(TOKEN, { user: "org", write: true }).set(READER, { user: "org" });
  user = { endpoint: hub.url, token: TOKEN };
  hub.push("org/base", base, { tags: ["text-generation"] });
  hub.push("you/lora", adapter, { tags: ["base_model:adapter:org/base"], gated: true });
  hub.push("you/other-lora", adapter, { tags: ["base_model:adapter:org/other"] });
});
after(() => hub.close());
beforeEach(() => void (hub.asked.length = 0));

/** No token goes to the storage, and every request to the hub has it. */
function checkTokens() {
  assert.ok(hub.asked.some(({ host }) => host === "storage"));
  for (const { host, authorization } of hub.asked) assert.equal(authorization, host === "hub" ? `Bearer ${TOKEN}` : undefined, host);
}

test("SHA-256 of a stream is that of the whole, however it is cut", () => {
  const next = random(11);
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100_000]) {
    const bytes = Buffer.from(Array.from({ length }, () => Math.floor(next() * 256)));
    const hash = new Sha256();
    for (let at = 0; at < length; ) {
      const step = 1 + Math.floor(next() * 200);
      hash.update(bytes.subarray(at, at + step));
      at += step;
    }
    assert.equal(hash.hex(), createHash("sha256").update(bytes).digest("hex"), String(length));
  }
});

describe("a search", () => {
  test("by name, and for the adapters of a base", async () => {
    assert.deepEqual((await searchModels({ query: "LORA", hub: { endpoint: hub.url } })).map(({ name }) => name), ["you/lora", "you/other-lora"]);
    const [found, ...others] = await searchModels({ adaptersOf: "https://huggingface.co/org/base/tree/main", hub: { endpoint: hub.url } });
    assert.deepEqual([found, others], [{ name: "you/lora", downloads: 10, likes: 0, gated: true, private: false, task: "text-generation" }, []]);
    assert.equal((await searchModels({ limit: 1, hub: { endpoint: hub.url } })).length, 1);
  });

  test("for what nobody can look for", async () => {
    for (const options of [{ limit: 0 }, { limit: 1.5 }, { adaptersOf: "nowhere" }]) await assert.rejects(searchModels({ ...options, hub: { endpoint: hub.url } }), { code: "bad-option" });
    hub.trouble("hub", /api\/models/, { json: { error: "?" } });
    await assert.rejects(searchModels({ hub: { endpoint: hub.url } }), { code: "fetch-failed" });
  });
});

describe("an upload", () => {
  test("of a merge's result is one commit, and the same model", async () => {
    const { files } = await merge({ base: asFiles(base), adapters: [asFiles(adapter)] });
    /** @type {string[]} */
    const phases = [];
    let done = 0;
    const result = await upload({ to: "hf://org/merged", files, hub: user, onProgress: ({ phase, bytes, total }) => (phases.push(phase), (done = bytes / total)) });
    assert.deepEqual([result.created, result.url, hub.repositories.get("org/merged")?.private], [true, `${hub.url}/org/merged`, true]);
    assert.equal(result.commit, hub.repositories.get("org/merged")?.refs.main);
    const there = hub.files("org/merged");
    for (const file of files) assert.deepEqual(there[file.name], Buffer.from(await (await file.blob()).arrayBuffer()), file.name);
    assert.ok(there[".gitattributes"]);
    assert.deepEqual([new Set(phases), done], [new Set(["hashing", "uploading"]), 1]);
    checkTokens();
  });

  test("sends what the hub has already no second time, and large files in parts", async () => {
    const large = Buffer.from(Array.from({ length: 4321 }, (_, number) => (number * 7) & 255));
    const files = asFiles({ "model.safetensors": large, "config.json": Buffer.from("{}") });
    hub.push("org/large", {});
    await upload({ to: "hf://org/large", files, hub: user, message: "first" });
    assert.deepEqual(hub.files("org/large")["model.safetensors"], large);
    assert.equal(hub.asked.filter(({ path }) => path.startsWith("/parts/")).length, 5);
    checkTokens();
    hub.asked.length = 0;
    await uploadInNode({ to: "hf://org/large/again", files, hub: user });
    assert.deepEqual(hub.files("org/large")["again/model.safetensors"], large);
    assert.deepEqual(hub.asked.filter(({ host }) => host === "storage"), []);
  });

  for (const [what, bytes, path] of /** @type {const} */ ([["one piece", 900, "/objects/"], ["parts", 2900, "/parts/"]])) {
    test(`of ${what} goes on where addresses expire and servers are busy`, async () => {
      const content = Buffer.alloc(bytes, what);
      hub.push("org/busy", {});
      hub.trouble("storage", new RegExp(path), { status: 403, body: "Request has expired" });
      hub.trouble("storage", new RegExp(path), { status: 503 });
      hub.trouble("hub", /preupload/, { status: 429, headers: { "Retry-After": 0 } });
      let last = 0;
      await upload({ to: "hf://org/busy", files: asFiles({ "model.safetensors": content }), hub: user, onProgress: (progress) => void (last = progress.bytes) });
      assert.deepEqual(hub.files("org/busy")["model.safetensors"], content);
      assert.equal(last, bytes);
    });
  }

  test("that cannot be says why, and no token", async () => {
    const files = asFiles(base);
    /** @type {[options: any, says: RegExp, kind: string | undefined][]} */
    const wrong = [
      [{ to: "hf://org/new", files, hub: { ...user, token: false } }, /needs a token/, "access-denied"],
      [{ to: "hf://org/new", files, hub: { ...user, token: READER } }, /what the token may do/, "access-denied"],
      [{ to: "hf://org/absent", files, hub: user, create: false }, /no repository org\/absent/, "no-repository"],
      [{ to: "hf://org/base@next", files, hub: user }, /no such branch/, "no-revision"],
      [{ to: "elsewhere", files, hub: user }, /hf:\/\/org\/name/, undefined],
      [{ to: "hf://org/new", files: [], hub: user }, /nothing to upload/, undefined],
      [{ to: "hf://org/new", files: [{ name: "../x", blob: async () => new Blob() }], hub: user }, /not a file name/, undefined],
    ];
    for (const [options, says, kind] of wrong) {
      await assert.rejects(upload(options), (/** @type {any} */ error) => {
        assert.match(error.message, says);
        assert.equal(error.facts.kind, kind);
        assert.doesNotMatch(JSON.stringify([error.message, error.facts, String(error.cause)]), /SECRET|Signature/);
        return true;
      });
    }
    assert.equal(hub.repositories.has("org/new"), false);
  });

  test("over somebody else's commit is refused", async () => {
    hub.push("org/raced", base);
    hub.watch((path) => path.includes("preupload") && hub.push("org/raced", base));
    await assert.rejects(upload({ to: "hf://org/raced", files: asFiles({ "config.json": Buffer.from("{}") }), hub: user }), { code: "fetch-failed", message: /412/ });
    hub.watch(() => undefined);
    assert.equal(String(hub.files("org/raced")["config.json"]), String(base["config.json"]));
  });

  test("that is stopped leaves nothing to see", async () => {
    hub.push("org/stopped", {});
    const stop = new AbortController();
    hub.watch((path) => path.startsWith("storage") && stop.abort());
    await assert.rejects(upload({ to: "hf://org/stopped", files: asFiles({ "model.safetensors": Buffer.alloc(5000, "stop") }), hub: user, signal: stop.signal }), { code: "aborted" });
    hub.watch(() => undefined);
    assert.deepEqual(hub.files("org/stopped"), {});
  });

  test("by the command line", async (t) => {
    const folder = await writeFolder(join(await scratch(t), "merged"), { ...base, ".hidden": "x" });
    const env = { ...process.env, HF_TOKEN: TOKEN, HF_ENDPOINT: hub.url };
    const { code, stdout, stderr } = await lorafold(["upload", folder, "hf://org/by-command", "--public", "--json"], { env });
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout).url, `${hub.url}/org/by-command`);
    assert.equal(hub.repositories.get("org/by-command")?.private, false);
    const { ".gitattributes": _, ...there } = hub.files("org/by-command");
    assert.deepEqual(there, base);
    assert.deepEqual(await readFile(join(folder, "config.json")), base["config.json"]);
    assert.equal((await lorafold(["upload", folder], { env })).code, 2);
    const nothing = await lorafold(["upload", await scratch(t), "hf://org/by-command"], { env });
    assert.equal(nothing.code, 1);
    assert.doesNotMatch(stdout + stderr + nothing.stderr, /SECRET/);
  });
});
