// @ts-check
// Every code is documented, every kind of error comes from something, and both are the same in Rust and TypeScript.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { LorafoldError, merge, plan } from "../../pkg/node.js";
import { root } from "../setup/tools.mjs";
import { lorafold } from "./command.mjs";
import { memoryDirectory } from "./memory-directory.mjs";
import { bytes, config, configText, copyFactors, sharded, tensors } from "./mutation.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";
import { scratch, writeFolder } from "./scratch.mjs";
import { correct, scriptedServer } from "./scripted-server.mjs";
import { asFiles, factor, Q, tinyModel } from "./tiny-model.mjs";

/** @typedef {import("../../pkg/node.js").ErrorFacts} Facts */
/** @typedef {{ model: import("./tiny-model.mjs").Model, options: () => any, t: import("node:test").TestContext }} Given */

/** Plan the model after a change. @param {(model: import("./tiny-model.mjs").Model) => void} change */
const planned = (change) => async (/** @type {Given} */ { model, options }) => {
  change(model);
  await plan(options());
};

/** @param {Record<string, string>} files by their first bytes */
const beginning = (files) => (/** @type {import("./tiny-model.mjs").Model} */ { base, adapter }) => {
  for (const [name, text] of Object.entries(files)) {
    const folder = name in adapter ? adapter : base;
    folder[name] = Buffer.concat([Buffer.from(text, "latin1"), Buffer.alloc(64)]);
  }
};

const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";

/** How each kind comes about, with what its error says. @type {[kind: string, code: string, how: string, act: (given: Given) => Promise<unknown>, facts: Facts][]} */
const CASES = [
  ["adapter-as-base", "wrong-input", "an adapter as the base", ({ model: { adapter }, options }) => plan({ ...options(), base: asFiles(adapter) }), { expected: "a base" }],
  ["base-as-adapter", "wrong-input", "a model of another kind as an adapter", ({ model: { base }, options }) => plan({ ...options(), adapters: [asFiles({ ...base, "model.safetensors": buildSafetensors({ "conv.weight": { dtype: "F32", shape: [1], values: [1] } }) })] }), { file: "adapter", expected: "an adapter, or a fine-tune of the base" }],
  ["no-weights", "wrong-input", "a base without weights", planned(({ base }) => void delete base["model.safetensors"]), { expected: "a .safetensors file" }],
  ["no-weights", "wrong-input", "an adapter without weights", planned(({ adapter }) => void delete adapter["adapter_model.safetensors"]), { adapter: "adapter", expected: "adapter_model.safetensors" }],
  ["several-models", "wrong-input", "two models in a folder", planned(({ base }) => { base["a.safetensors"] = base["b.safetensors"] = base["model.safetensors"]; delete base["model.safetensors"]; }), { fix: "give the files of one model" }],
  ["several-adapters", "wrong-input", "two adapters in a file", planned(tensors("adapter", (all) => {
    for (const [name, tensor] of Object.entries(all)) {
      for (const adapter of ["first", "second"]) all[name.replace(".weight", `.${adapter}.weight`)] = tensor;
      delete all[name];
    }
  })), { adapter: "adapter", found: "first, second" }],
  ["missing-shard", "truncated", "a shard that is missing", planned(sharded((files) => void delete files["model-00002-of-00002.safetensors"])), { file: "model-00002-of-00002.safetensors" }],
  ["pickle", "unsupported", "an adapter as a pickle", planned(({ adapter }) => { adapter["adapter_model.bin"] = Buffer.from("\x80\x02cposix\nsystem\n", "latin1"); delete adapter["adapter_model.safetensors"]; }), { adapter: "adapter", file: "adapter/adapter_model.bin" }],
  ["pickle", "wrong-input", "a pickle called safetensors", planned(beginning({ "model.safetensors": "\x80\x02\x8a\nl\xfc\x9cF\xf9" })), { file: "model.safetensors" }],
  ["other-format", "wrong-input", "GGUF called safetensors", planned(beginning({ "model.safetensors": "GGUF\x03\0\0\0" })), { file: "model.safetensors", found: "GGUF" }],
  ["web-page", "wrong-input", "a page in place of weights", planned(beginning({ "model.safetensors": "<!DOCTYPE html>" })), { file: "model.safetensors", found: "a web page" }],
  ["web-page", "wrong-input", "a page in place of a configuration", planned(configText("\n<html></html>")), { adapter: "adapter", file: "adapter/adapter_config.json" }],
  ["lfs-pointer", "wrong-input", "a pointer in place of weights", planned(beginning({ "adapter_model.safetensors": pointer })), { adapter: "adapter", file: "adapter/adapter_model.safetensors", fix: "run git lfs pull" }],
  ["lfs-pointer", "wrong-input", "a pointer in place of a configuration", planned(configText(pointer)), { file: "adapter/adapter_config.json" }],
  ["quantised-base", "unsupported", "a base of bytes", planned(tensors("base", (all) => void (all[`${Q}.weight`] = { dtype: "I8", shape: [5, 4], bytes: Buffer.alloc(20) }))), { tensor: `${Q}.weight`, found: "I8" }],
  ["tied-head", "unmatched-key", "an output layer that is tied", planned((model) => { tensors("adapter", (all) => copyFactors(all, "lm_head"))(model); model.base["config.json"] = Buffer.from("{}"); }), { tensor: factor("lm_head", "A"), expected: "lm_head.weight" }],
  ["ambiguous-part", "unmatched-key", "an adapter that fits two parts", planned((model) => {
    const values = Array(20).fill(1);
    tensors("base", (all) => { for (const part of ["one", "two"]) all[`${part}.blocks.0.proj.weight`] = { dtype: "F32", shape: [5, 4], values }; })(model);
    tensors("adapter", (all) => { copyFactors(all, "blocks.0.proj"); for (const name of Object.keys(all)) if (name.includes("self_attn")) delete all[name]; })(model);
  }), { found: "one., two." }],
  ["other-shape", "shape-mismatch", "an adapter of a smaller base", planned(tensors("base", (all) => void (all[`${Q}.weight`] = { dtype: "F32", shape: [2, 10], values: Array(20).fill(1) }))), { tensor: `${Q}.weight`, expected: "[5, 4]", found: "[2, 10]" }],
  ["not-implemented", "unsupported", "a field that is known", planned(config({ kasa_config: { beta: 1 } })), { field: "kasa_config", found: '{"beta":1}', fix: "merge this adapter with PEFT" }],
  ["unknown-field", "unsupported", "a field that nobody knows", planned(config({ field_of_tomorrow: 1 })), { adapter: "adapter", field: "field_of_tomorrow", found: "1" }],
  ["no-config", "bad-config", "an adapter without its configuration", planned(({ adapter }) => void delete adapter["adapter_config.json"]), { adapter: "adapter", file: "adapter/adapter_config.json" }],
  ["unmatched-pattern", "bad-config", "a pattern that matches nothing", planned(config({ alpha_pattern: { k_proj: 2 } })), { adapter: "adapter", field: "alpha_pattern", found: "k_proj" }],
  ["not-found", "bad-option", "a path where nothing is", ({ options }) => plan({ ...options(), base: join("no", "where") }), { field: "base", file: join(process.cwd(), "no", "where") }],
  ["access-denied", "fetch-failed", "a server that refuses", async ({ model, options, t }) => {
    const server = await scriptedServer(model.base, (asked) => (asked.count > 0 && asked.name === "model.safetensors" ? { status: 403 } : correct(asked)));
    t.after(server.close);
    // Refused when the plan reads it, which is on the way through WebAssembly.
    await merge({ ...options(), base: server.url, workers: 1 });
  }, {}],
  ["access-denied", "write-failed", "a folder that may not be written to", ({ options }) => merge({ ...options(), output: /** @type {any} */ (memoryDirectory({}, { createWritable: () => { throw new DOMException("no", "NotAllowedError"); } })) }), {}],
  ["output-not-empty", "bad-option", "an output that has a model", async ({ model, options, t }) => {
    const folder = await writeFolder(join(await scratch(t), "out"), model.base);
    await merge({ ...options(), output: folder });
  }, { field: "output", fix: "force replaces the model in it" }],
  ["output-is-input", "bad-option", "an output that is the base", async ({ model, options, t }) => {
    const folder = await writeFolder(join(await scratch(t), "base"), model.base);
    await merge({ ...options(), base: folder, output: folder, force: true });
  }, { field: "output" }],
];

/** Kinds that are proven elsewhere, and where. */
const ELSEWHERE = {
  "no-memory": ["tests/memory.rs", "ErrorKind::NoMemory"],
  ...Object.fromEntries(["gated-repository", "no-repository", "no-revision"].map((kind) => [kind, ["tests/js/hub-token.test.mjs", `"${kind}"`]])),
  "rate-limited": ["tests/js/hub.test.mjs", "rate-limited"],
};

describe("every kind of error", () => {
  for (const [kind, code, how, act, facts] of CASES) {
    test(`${kind}: ${how}`, async (t) => {
      const model = tinyModel();
      const options = () => ({ base: asFiles(model.base), adapters: [{ source: asFiles(model.adapter), name: "adapter" }] });
      const error = await act({ model, options, t }).then(() => undefined, (/** @type {any} */ thrown) => thrown);
      assert.ok(error instanceof LorafoldError, String(error));
      assert.deepEqual({ code: error.code, ...error.facts }, { ...error.facts, code, kind, ...facts }, error.message);
      assert.equal(error.adapter, error.facts.adapter);
      assert.equal(error.tensor, error.facts.tensor);
      if (error.facts.fix !== undefined) assert.ok(error.message.endsWith(`; ${error.facts.fix}`), error.message);
    });
  }
});

/** The texts of an enum of src/error/code.rs. @param {string} name */
async function variants(name) {
  const source = await readFile(join(root, "src", "error", "code.rs"), "utf8");
  const [, body = ""] = new RegExp(`pub enum ${name} \\{\n(.*?)\n {4}\\}`, "s").exec(source) ?? [];
  return [...body.matchAll(/^ {8}[A-Z]\w+ = "([a-z-]+)",$/gm)].map(([, text = ""]) => text);
}

/** The words of a union in the package's declarations. @param {string} name */
async function union(name) {
  const source = await readFile(join(root, "pkg", "schema.d.ts"), "utf8");
  const [, body = ""] = new RegExp(`export type ${name} = (.*?);`, "s").exec(source) ?? [];
  return [...body.matchAll(/"([a-z-]+)"/g)].map(([, word]) => word);
}

test("each has a case, or is proven elsewhere", async () => {
  const kinds = await variants("ErrorKind");
  assert.ok(kinds.length > 20);
  assert.deepEqual([...new Set([...CASES.map(([kind]) => kind), ...Object.keys(ELSEWHERE)])].sort(), kinds.toSorted());
  for (const [file, word] of Object.values(ELSEWHERE)) assert.ok((await readFile(join(root, /** @type {string} */ (file)), "utf8")).includes(/** @type {string} */ (word)));
});

test("codes and kinds are the same in Rust and TypeScript, and docs/errors.md has every one", async () => {
  const page = await readFile(join(root, "docs", "errors.md"), "utf8");
  const codes = await variants("ErrorCode");
  assert.deepEqual((await union("ErrorCode")).sort(), codes.toSorted());
  for (const code of codes) assert.match(page, new RegExp(`^\\| \`${code}\` \\| [A-Z].*\\. \\||^\\| \`${code}\` \\| [a-zA-Z].*\\|$`, "m"), code);
  const kinds = await variants("ErrorKind");
  assert.deepEqual((await union("ErrorKind")).sort(), kinds.toSorted());
  for (const kind of kinds) assert.ok(page.includes(`\`${kind}\``), kind);
});

describe("facts arrive", () => {
  const broken = () => {
    const model = tinyModel();
    tensors("adapter", (all) => void (all[factor(Q, "B")] = { ...all[factor(Q, "B")], values: [1, 2, 3, Number.NaN, 5, 6, 7, 8, 9, 10] }))(model);
    return model;
  };
  const expected = { adapter: "adapter", tensor: factor(Q, "B"), element: 3 };

  for (const workers of [0, 1]) {
    test(`from ${workers} workers`, async () => {
      const { base, adapter } = broken();
      const merged = merge({ base: asFiles(base), adapters: [{ source: asFiles(adapter), name: "adapter" }], workers });
      await assert.rejects(merged, (/** @type {any} */ error) => {
        assert.ok(error instanceof LorafoldError);
        assert.deepEqual(error.facts, expected);
        return true;
      });
    });
  }

  test("in what the command line prints", async (t) => {
    const { base, adapter } = broken();
    const folder = await scratch(t);
    await writeFolder(join(folder, "base"), base);
    await writeFolder(join(folder, "adapter"), adapter);
    const { stdout } = await lorafold(["merge", "--base", "base", "--adapter", "adapter", "--out", "out", "--json"], { cwd: folder });
    const { error } = JSON.parse(stdout);
    assert.deepEqual([error.code, error.facts], ["non-finite", expected]);
  });

  test("from a source's own read, through WebAssembly", async () => {
    const { base, adapter } = tinyModel();
    const denied = new LorafoldError("fetch-failed", "vault: locked; ask the guard", { kind: "access-denied", file: "vault", fix: "ask the guard" });
    const source = { list: async () => Object.entries(base).map(([name, { length: size }]) => ({ name, size })), read: () => Promise.reject(denied) };
    await assert.rejects(plan({ base: source, adapters: [asFiles(adapter)] }), (/** @type {any} */ error) => {
      assert.deepEqual([error.code, error.message, error.facts], [denied.code, denied.message, denied.facts]);
      return true;
    });
  });
});

test("what is no error of ours stays what it is", async () => {
  const { asLorafoldError } = await import(`${root}/pkg/errors.js`);
  assert.equal(asLorafoldError(buildSafetensors), buildSafetensors);
});
