// @ts-check
// What a merge says of its making: which base it is, its hash, and the model card.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createApi } from "../../pkg/api.js";
import { createContext } from "../../pkg/context.js";
import { merge, openMerged, plan, inspect } from "../../pkg/node.js";
import { nodePlatform } from "../../pkg/node/context.js";
import { NETWORK } from "../../pkg/sources/network.js";
import { fakeHub } from "../fake-hub.mjs";
import { lorafold } from "./command.mjs";
import { scratch, sha256, writeFolder } from "./scratch.mjs";
import { asFiles, CONFIGS, tinyModel } from "./tiny-model.mjs";

const { base, adapter } = tinyModel();
const README = "---\nlicense: mit\ntags: [chat]\n---\n# The base\n";

/** The adapter with another configuration. @param {object} config */
const trained = (config) => ({ ...adapter, "adapter_config.json": Buffer.from(JSON.stringify({ ...CONFIGS.adapter, ...config })) });

/** Base and adapter on disk. @param {import("node:test").TestContext} t @param {Record<string, string | Buffer>} [more] files of the base @param {object} [config] */
async function folders(t, more = {}, config = {}) {
  const folder = await scratch(t);
  await writeFolder(join(folder, "tiny"), { ...base, ...more });
  await writeFolder(join(folder, "adapter"), trained(config));
  return folder;
}

describe("the model card", () => {
  test("is corrected wherever the model is written or read", async (t) => {
    const cwd = await folders(t, { "README.md": README }, { base_model_name_or_path: "org/tiny" });
    const { code, stderr } = await lorafold(["merge", "-b", "tiny", "-a", "adapter", "-o", "out"], { cwd });
    assert.equal(code, 0, stderr);
    const card = await readFile(join(cwd, "out", "README.md"), "utf8");
    assert.match(card, /^---\nlicense: mit\ntags: \[chat, merge, lora, lorafold\]\nbase_model:\n- org\/tiny\nbase_model_relation: merge\n---\n/);
    assert.ok(card.endsWith("\n# The base\n"), card);
    const files = [new File([README], "README.md"), ...asFiles(base)];
    const inputs = { base: files, adapters: [asFiles(trained({ base_model_name_or_path: "org/tiny" }))] };
    const { files: merged } = await merge(inputs);
    assert.equal(await (await merged.find(({ name }) => name === "README.md")?.blob())?.text(), card);
    const model = await openMerged(inputs);
    assert.equal(Buffer.from(await model.read("README.md")).toString(), card);
    model.close();
  });

  test("is not made where the base has none and is of no hub", async () => {
    const { files } = await plan({ base: asFiles(base), adapters: [asFiles(adapter)] });
    assert.ok(files.every(({ name }) => name !== "README.md"));
  });
});

describe("the hash of the base", () => {
  test("is what inspect prints, what the recipe has, and what is expected", async (t) => {
    const cwd = await folders(t);
    const hash = sha256(base["model.safetensors"]);
    const described = await lorafold(["inspect", "tiny", "--hash"], { cwd });
    assert.match(described.stdout, new RegExp(`^  sha256 ${hash}$`, "m"));
    assert.doesNotMatch((await lorafold(["inspect", "tiny"], { cwd })).stdout, /sha256/);
    const { code, stdout } = await lorafold(["merge", "-b", "tiny", "-a", "adapter", "-o", "out", "--expect-base", hash, "--json"], { cwd });
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout).recipe.base.files[0].sha256, hash);
    const dry = await lorafold(["merge", "-b", "tiny", "-a", "adapter", "--dry-run", "--hash-base", "--json"], { cwd });
    assert.equal(JSON.parse(dry.stdout).recipe.base.files[0].sha256, hash);
  });

  test("of another base stops everything before it begins", async (t) => {
    const cwd = await folders(t);
    const { code, stderr } = await lorafold(["merge", "-b", "tiny", "-a", "adapter", "-o", "out", "--expect-base", "0".repeat(64)], { cwd });
    assert.equal(code, 1);
    assert.match(stderr, /\[base-mismatch\].*tiny: its sha256 is [0-9a-f]{64}, and not 0000/);
    assert.deepEqual((await readdir(cwd)).sort(), ["adapter", "tiny"]);
  });

  test("is the browser's own where that may have it, and is checked there", async () => {
    const hash = sha256(base["model.safetensors"]);
    const described = await inspect(asFiles(base), { hash: true });
    assert.ok(described.kind !== "adapter");
    assert.deepEqual([described.sha256, described.files[0]?.sha256], [hash, hash]);
    const { recipe } = await plan({ base: asFiles(base), adapters: [asFiles(adapter)], hashBase: true });
    assert.equal(recipe.base.files[0]?.sha256, hash);
    await assert.rejects(plan({ base: asFiles(base), adapters: [asFiles(adapter)], expectBase: "0".repeat(64) }), { code: "base-mismatch" });
    await assert.rejects(plan({ base: asFiles(base), adapters: [asFiles(adapter)], expectBase: "abc" }), { code: "bad-option" });
  });
});

describe("of the hub", () => {
  /** @type {Awaited<ReturnType<typeof fakeHub>>} */
  let hub;
  /** @type {import("../../pkg/api.js").Api} */
  let api;
  before(async () => {
    hub = await fakeHub();
    hub.push("org/tiny", base);
    hub.push("org/lora", trained({ base_model_name_or_path: "org/tiny" }));
    hub.push("org/other", trained({ base_model_name_or_path: "org/large" }));
    const context = createContext({ ...nodePlatform, hubToken: async () => undefined, network: { ...NETWORK, hubEndpoint: hub.url, retryDelays: [1] } });
    api = createApi(() => context);
  });
  after(() => hub.close());

  /** What was asked for. @param {() => Promise<unknown>} act */
  async function requests(act) {
    const from = hub.asked.length;
    await act();
    return hub.asked.slice(from).map(({ method, path }) => `${method} ${path}`).filter((line) => !line.includes("/objects/")).sort();
  }

  test("commit and hashes are known without a request of their own", async () => {
    const inputs = { base: "hf://org/tiny", adapters: ["hf://org/lora"] };
    const hash = sha256(base["model.safetensors"]);
    const plain = await requests(() => api.plan(inputs));
    const hashed = await requests(async () => {
      const { recipe } = await api.plan({ ...inputs, hashBase: true, expectBase: hash });
      assert.equal(recipe.base.origin, `hf://org/tiny@${hub.repositories.get("org/tiny")?.refs.main}`);
      assert.deepEqual(recipe.base.files.map(({ sha256 }) => sha256), [hash]);
    });
    assert.deepEqual(hashed, plain);
    await assert.rejects(api.plan({ ...inputs, expectBase: "0".repeat(64) }), { code: "base-mismatch" });
    const described = await api.inspect("hf://org/tiny");
    assert.equal(described.kind !== "adapter" && described.sha256, hash);
  });

  test("a base without a card gets one that names base and adapter", async () => {
    const { files } = await api.merge({ base: "hf://org/tiny", adapters: [{ source: "hf://org/lora", weight: 0.5 }] });
    const card = await (await files.find(({ name }) => name === "README.md")?.blob())?.text();
    assert.match(card ?? "", /^---\nbase_model:\n- org\/tiny\n- org\/lora\nbase_model_relation: merge\n/);
    assert.match(card ?? "", /- adapter: `org\/lora` at commit `[0-9a-f]{40}`; LORA, weight 0\.5, rank 2, alpha 4, scale 2\n/);
  });

  test("an adapter of another base is told", async () => {
    const told = async (/** @type {string} */ source) => {
      const { adapters, findings } = await api.plan({ base: "hf://org/tiny", adapters: [source] });
      return [adapters[0]?.namedBase, findings.map(({ code }) => code).filter((code) => code.includes("base"))];
    };
    assert.deepEqual(await told("hf://org/lora"), ["same", []]);
    assert.deepEqual(await told("hf://org/other"), ["other", ["other-base"]]);
  });
});

test("inspect says of a base and an adapter whether they fit", async (t) => {
  const cwd = await folders(t, {}, { base_model_name_or_path: "org/tiny" });
  const { stdout } = await lorafold(["inspect", "tiny", "adapter"], { cwd });
  assert.match(stdout, /\nadapter on tiny: fits, 2 of 2 modules; trained on org\/tiny: this base\n$/);
  const other = await lorafold(["merge", "-b", "tiny", "-a", "adapter", "--dry-run"], { cwd });
  assert.match(other.stdout, /^ {2}trained on org\/tiny: this base$/m);
  const wide = join(cwd, "wide");
  await writeFolder(wide, trained({ r: 3, base_model_name_or_path: "org/wide" }));
  const json = await lorafold(["inspect", "wide", "tiny", "--json"], { cwd });
  assert.equal(json.code, 1, "an adapter that is broken by itself has no fit");
  const narrow = await folders(t, {}, { base_model_name_or_path: "org/narrow" });
  await writeFolder(join(narrow, "else"), { ...base, "config.json": Buffer.from(JSON.stringify({ ...CONFIGS.base, _name_or_path: "org/else" })), "model.safetensors": base["model.safetensors"] });
  const [, described] = JSON.parse((await lorafold(["inspect", "else", "adapter", "--json"], { cwd: narrow })).stdout);
  assert.deepEqual(described.fits, [{ base: "else", adapter: "adapter", baseModel: "org/narrow", namedBase: "other", modules: 2, matched: 2, evidence: [] }]);
});
