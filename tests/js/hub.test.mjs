// @ts-check
// Models of the hub: what is listed, at which commit, what the recipe records of it, and how reading goes on when the hub is busy.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { createApi } from "../../pkg/api.js";
import { createContext } from "../../pkg/context.js";
import { nodePlatform } from "../../pkg/node/context.js";
import { NETWORK } from "../../pkg/sources/network.js";
import { fakeHub } from "../fake-hub.mjs";
import { correct, scriptedServer } from "./scripted-server.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const { base, adapter } = tinyModel();
/** What a folder on disk would give, too: the crate alone decides what of it is copied. */
const copied = { "freqs.npz": Buffer.from("f"), ".gitattributes": Buffer.from("x") };
const leftBehind = { "flax_model.msgpack": Buffer.alloc(65 << 20), "pytorch_model.bin": Buffer.alloc(9), "onnx/model.onnx": Buffer.alloc(3) };

/** The API with another hub, and short waits. @param {string} hubEndpoint */
function apiOf(hubEndpoint) {
  const context = createContext({ ...nodePlatform, hubToken: async () => undefined, network: { ...NETWORK, hubEndpoint, retryDelays: [1, 1, 1] } });
  return createApi(() => context);
}

/** @param {Uint8Array} bytes */
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** What a file of weights holds, without its header: that has the recipe. @param {Uint8Array} bytes */
const weights = (bytes) => Buffer.from(bytes).subarray(8 + Number(Buffer.from(bytes).readBigUInt64LE(0)));

/** Every file of a merge but the model card, which names the hub's models: of weights those alone. @param {import("../../pkg/node.js").MergeResult} merged */
async function contents({ files }) {
  const read = async (/** @type {import("../../pkg/node.js").MergedFile} */ { name, blob }) => {
    const bytes = new Uint8Array(await (await blob()).arrayBuffer());
    return /** @type {const} */ ([name, sha256(name.endsWith(".safetensors") ? weights(bytes) : bytes)]);
  };
  return Object.fromEntries(await Promise.all(files.filter(({ name }) => name !== "README.md").map(read)));
}

describe("the hub", () => {
  /** @type {Awaited<ReturnType<typeof fakeHub>>} */
  let hub;
  /** @type {ReturnType<typeof apiOf>} */
  let api;
  /** @type {string} */
  let commit;
  before(async () => {
    hub = await fakeHub({ pageSize: 2 });
    commit = hub.push("org/base", { ...base, ...copied, ...leftBehind });
    hub.push("org/base", { ...base, ...copied, ...leftBehind }, { branch: "refs/pr/1" });
    hub.push("org/lora", { ...adapter, "README.md": "x" });
    hub.push("org/lora", adapter, { branch: "refs/pr/1" });
    api = apiOf(hub.url);
  });
  after(() => hub.close());

  for (const suffix of ["", "/", "@main", "@refs/pr/1"]) {
    test(`hf://org/base${suffix} merges as the files do, however many pages its listing has`, async () => {
      const expected = await contents(await api.merge({ base: asFiles({ ...base, ...copied }), adapters: [asFiles(adapter)] }));
      const merged = await api.merge({ base: `hf://org/base${suffix}`, adapters: [`hf://org/lora${suffix}`] });
      assert.deepEqual(await contents(merged), expected);
      assert.equal(merged.report.base.name, "org/base");
      assert.deepEqual(merged.report.findings.map(({ message }) => message), ["not copied to the output: flax_model.msgpack, pytorch_model.bin, onnx/"]);
      assert.deepEqual(hub.asked.filter(({ path }) => path.endsWith("flax_model.msgpack")), [], "a large file that stays behind is asked for");
    });
  }

  test("the recipe has the commit, and the hashes that the hub has", async () => {
    const { recipe } = await api.plan({ base: "hf://org/base", adapters: ["org/lora@main"].map((name) => `hf://${name}`) });
    assert.deepEqual(recipe.base, { origin: `hf://org/base@${commit}`, files: [{ name: "model.safetensors", size: base["model.safetensors"].length, sha256: sha256(base["model.safetensors"]) }] });
    assert.equal(recipe.adapters[0].origin, `hf://org/lora@${hub.repositories.get("org/lora")?.refs.main}`);
    assert.deepEqual(recipe.adapters[0].files.map(({ sha256 }) => sha256), Object.values(adapter).map(sha256));
    const again = await api.plan({ base: recipe.base.origin ?? "", adapters: [recipe.adapters[0].origin ?? ""] });
    assert.deepEqual(again.recipe, recipe);
  });

  test("a branch that moves during a merge changes nothing", async () => {
    const name = "org/moving";
    hub.push(name, base);
    const opened = await api.openMerged({ base: `hf://${name}`, adapters: [asFiles(adapter)] });
    const first = await opened.read("model.safetensors");
    hub.push(name, { ...base, "model.safetensors": Buffer.alloc(base["model.safetensors"].length) });
    assert.deepEqual(await opened.read("model.safetensors"), first);
    opened.close();
  });

  test("a folder of a repository is a model of its own", async () => {
    const inside = Object.fromEntries(Object.entries(base).map(([name, bytes]) => [`all of it/fp 32/${name}`, bytes]));
    const commit = hub.push("org/nested", { ...inside, "README.md": "x" });
    for (const address of ["hf://org/nested/all%20of%20it/fp%2032", "hf://org/nested@main/all%20of%20it/fp%2032/", `${hub.url}/org/nested/tree/main/all%20of%20it/fp%2032`]) {
      const { recipe, base: described } = await api.plan({ base: address, adapters: ["hf://org/lora"] });
      assert.equal(described.name, "org/nested/all of it/fp 32");
      assert.equal(recipe.base.origin, `hf://org/nested/all%20of%20it/fp%2032@${commit}`);
      assert.equal((await api.plan({ base: recipe.base.origin ?? "", adapters: ["hf://org/lora"] })).outputBytes > 0, true);
    }
  });

  test("a file's address is that of the model, where the file is part of one", async () => {
    hub.push("org/several", { ...base, "other.safetensors": base["model.safetensors"], "adapter_config.json": adapter["adapter_config.json"], "style.safetensors": adapter["adapter_model.safetensors"], "more.safetensors": adapter["adapter_model.safetensors"] });
    const page = `${hub.url}/org/several/blob/main`;
    const planned = await api.plan({ base: `${page}/other.safetensors?library=x`, adapters: [`${page}/style.safetensors`] });
    assert.deepEqual(planned.files.map(({ name }) => name), ["other.safetensors"]);
    assert.deepEqual(planned.recipe.adapters[0].files.map(({ name }) => name), ["adapter_config.json", "style.safetensors"]);
    const whole = await api.plan({ base: `${hub.url}/org/base/resolve/main/config.json?download=true`, adapters: ["hf://org/lora"] });
    assert.deepEqual(whole.files.map(({ name }) => name).sort(), ["README.md", ...Object.keys(base), ...Object.keys(copied)].sort());
    await assert.rejects(api.plan({ base: `${page}/none.safetensors`, adapters: ["hf://org/lora"] }), (/** @type {any} */ error) => error.code === "fetch-failed" && error.facts.kind === "not-found");
  });

  test("one of several adapters, each in a folder of its own", async () => {
    hub.push("org/two", Object.fromEntries(Object.entries(adapter).flatMap(([name, bytes]) => [[`style/${name}`, bytes], [`more/${name}`, bytes]])), { branch: "a/b" });
    for (const source of ["hf://org/two@a%2Fb", `https://huggingface.co/org/two/tree/a%2Fb`]) {
      const { recipe } = await api.plan({ base: asFiles(base), adapters: [{ source, adapter: "style" }] });
      assert.match(recipe.adapters[0].origin ?? "", /^hf:\/\/org\/two\/style@/);
    }
  });

  test("trained weights beside an adapter are told by their names, and not asked for", async () => {
    hub.push("org/beside", { ...adapter, "non_lora_trainables.bin": "x", "README.md": "x" });
    await assert.rejects(api.plan({ base: asFiles(base), adapters: ["hf://org/beside"] }), { message: /non_lora_trainables\.bin/ });
    assert.deepEqual(hub.asked.filter(({ path }) => path.endsWith("non_lora_trainables.bin")), []);
  });

  test("an adapter's tokenizer is found as in a folder, and read only where that is needed", async () => {
    const model = { ...base, "tokenizer.json": "{}", "tokenizer.model": "words" };
    hub.push("org/speaks", { ...adapter, "tokenizer.json": '{"mine":1}', "tokenizer.model": "words" });
    hub.push("org/spoken", model);
    const of = async (/** @type {"base" | "adapter"} */ tokenizer, /** @type {string} */ name = "hf://org/spoken") => {
      hub.asked.length = 0;
      const { files, plan } = { plan: await api.plan({ base: name, adapters: ["hf://org/speaks"], tokenizer }), files: await contents(await api.merge({ base: name, adapters: ["hf://org/speaks"], tokenizer })) };
      return { files, findings: plan.findings };
    };
    const kept = await of("base");
    assert.match(kept.findings.find(({ code }) => code === "tokenizer-differs")?.message ?? "", /differ: tokenizer\.json \(/);
    // The hub says that the large ones are the same, and their sizes that the small ones are not.
    assert.deepEqual(hub.asked.filter(({ path }) => /speaks.*tokenizer/.test(path)), []);
    const taken = await of("adapter");
    assert.ok(taken.findings.some(({ code }) => code === "tokenizer-taken"));
    assert.notEqual(kept.files["tokenizer.json"], taken.files["tokenizer.json"]);
    const written = await contents(await api.merge({ base: asFiles(base), adapters: [asFiles({ ...adapter, "tokenizer.json": Buffer.from('{"mine":1}') })], tokenizer: "adapter" }));
    assert.equal(taken.files["tokenizer.json"], written["tokenizer.json"]);
  });

  test("a repository that was renamed is found, and recorded by its name of now", async () => {
    hub.moved["old/name"] = "org/base";
    const { recipe } = await api.plan({ base: "hf://old/name", adapters: ["hf://org/lora"] });
    assert.equal(recipe.base.origin, `hf://org/base@${commit}`);
  });

  test("a busy hub, and addresses that expire, are asked again", async () => {
    hub.trouble("hub", /\/tree\//, { status: 429, headers: { "Retry-After": 0 } }, 2);
    hub.trouble("storage", /./, { status: 403, body: "Request has expired" }, 2);
    const expected = await contents(await api.merge({ base: asFiles(base), adapters: [asFiles(adapter)] }));
    hub.push("org/plain", base);
    assert.deepEqual(await contents(await api.merge({ base: "hf://org/plain", adapters: ["hf://org/lora"] })), expected);
  });

  test("what is too much for the hub says so, and when to try again", async () => {
    hub.trouble("hub", /\/tree\//, { status: 429, headers: { RateLimit: '"api";r=0;t=240' } });
    await assert.rejects(api.plan({ base: "hf://org/base", adapters: ["hf://org/lora"] }), (/** @type {any} */ error) => error.code === "fetch-failed" && error.facts.kind === "rate-limited" && /240 s/.test(error.facts.fix));
  });

  test("an adapter whose content is not what the hub lists is refused", async () => {
    hub.push("org/other", adapter);
    const hash = sha256(adapter["adapter_model.safetensors"]);
    hub.watch((path) => path === `storage/objects/${hash}` && hub.objects.set(hash, Buffer.alloc(adapter["adapter_model.safetensors"].length)));
    await assert.rejects(api.plan({ base: asFiles(base), adapters: ["hf://org/other"] }), { code: /bad-header|source-changed/ });
    const changed = Buffer.from(adapter["adapter_model.safetensors"]);
    changed[changed.length - 1] ^= 1;
    hub.watch((path) => path === `storage/objects/${hash}` && hub.objects.set(hash, changed));
    await assert.rejects(api.plan({ base: asFiles(base), adapters: ["hf://org/other"] }), { code: "source-changed", message: new RegExp(hash) });
    hub.watch(() => undefined);
  });

  test("at most four requests are under way at a time", async () => {
    hub.push("org/many", { ...base, ...Object.fromEntries(Array.from({ length: 30 }, (_, number) => [`part-${number}.txt`, "x"])) });
    let most = 0;
    const fetched = globalThis.fetch;
    let running = 0;
    globalThis.fetch = async (...call) => {
      most = Math.max(most, ++running);
      try {
        return await fetched(...call);
      } finally {
        running--;
      }
    };
    try {
      await api.plan({ base: "hf://org/many", adapters: ["hf://org/lora"] });
    } finally {
      globalThis.fetch = fetched;
    }
    assert.ok(most > 1 && most <= 4, String(most));
  });
});

/** What a simple mirror serves of a repository: no commits, no codes. @param {string} name @param {Record<string, Buffer>} files @param {(path: string) => object} [about] */
const mirror = (name, files, about = () => ({})) => ({
  [`api/models/${name}/revision/main`]: Buffer.from("{}"),
  [`api/models/${name}/tree/main`]: Buffer.from(JSON.stringify(Object.entries(files).map(([path, { length }]) => ({ type: "file", path, size: length, ...about(path) })))),
  ...Object.fromEntries(Object.entries(files).map(([path, bytes]) => [`${name}/resolve/main/${path}`, bytes])),
});

describe("a mirror that tells no commits", () => {
  const name = "vocab.json";
  const files = { ...base, [name]: Buffer.alloc(65 << 20) };

  test("a file that is not asked for is known by its content's name all the same", async (t) => {
    const tags = [];
    for (const about of [{ oid: "1" }, { oid: "2" }, { oid: "2", lfs: { oid: "3" } }, { oid: "9", lfs: { oid: "3" } }]) {
      const other = await scriptedServer(mirror("org/base", files, (path) => (path === name ? about : {})), correct);
      t.after(other.close);
      const opened = await apiOf(other.url).openMerged({ base: "hf://org/base", adapters: [asFiles(adapter)] });
      assert.equal(opened.report.recipe.base.origin, undefined);
      tags.push(opened.files.find((file) => file.name === name)?.etag);
      assert.equal(other.counts[`org/base/resolve/main/${name}`], undefined);
      opened.close();
    }
    assert.equal(new Set(tags).size, 3);
    assert.equal(tags[2], tags[3]);
  });

  test("a file that was not asked for before stays what it is then", async (t) => {
    const other = await scriptedServer(mirror("org/base", files), (asked) => ({ ...correct(asked), headers: { ...correct(asked).headers, ...(asked.name.endsWith(name) && { ETag: `"${asked.count}"` }) } }));
    t.after(other.close);
    const opened = await apiOf(other.url).openMerged({ base: "hf://org/base", adapters: [asFiles(adapter)] });
    assert.equal((await opened.read(name, 0, 9)).length, 9);
    await assert.rejects(opened.read(name, 9, 18), { code: "source-changed", message: /"0".*"1"/ });
    opened.close();
  });
});
