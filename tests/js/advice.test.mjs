// @ts-check
// What the page advises depends on an error's code and facts, never on the words of its message.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { build } from "vite";
import { LorafoldError } from "../../pkg/node.js";
import { root } from "../setup/tools.mjs";
import { scratch } from "./scratch.mjs";

/** @typedef {{ names: string[], source?: unknown }} Picked */
/** @type {(error: unknown, inputs: Picked[]) => { title: string, todo: string, offer?: unknown, passing?: boolean }} */
let adviceFor;

before(async (t) => {
  const folder = await scratch(/** @type {any} */ (t));
  const bundled = /** @type {any} */ (await build({
    configFile: false,
    logLevel: "silent",
    root: join(root, "www"),
    build: { write: false, minify: false, lib: { entry: join(root, "www", "src", "advice.ts"), formats: ["es"] }, rollupOptions: { external: ["lorafold", "lorafold/hub"] } },
  }));
  const [{ output: [{ code }] }] = bundled;
  const file = join(folder, "advice.mjs");
  const from = (/** @type {string} */ name) => JSON.stringify(pathToFileURL(join(root, "pkg", name)));
  await writeFile(file, code.replace(/"lorafold"/g, from("node.js")).replace(/"lorafold\/hub"/g, from("hub.js")));
  ({ adviceFor } = await import(pathToFileURL(file).href));
});

/** A message that no pattern of English finds anything in. */
const FOREIGN = "Etwas ist schiefgegangen.";

/** @param {import("../../pkg/node.js").ErrorCode} code @param {import("../../pkg/node.js").ErrorFacts} facts @param {Picked[]} [inputs] */
const titleOf = (code, facts, inputs = []) => adviceFor(new LorafoldError(code, FOREIGN, facts), inputs).title;

test("kinds have advice of their own, in whatever language the message is", () => {
  assert.equal(titleOf("wrong-input", { kind: "adapter-as-base" }), "This is an adapter, not a base");
  assert.equal(titleOf("wrong-input", { kind: "base-as-adapter" }), "This is a base, not an adapter");
  assert.equal(titleOf("bad-config", { kind: "no-config" }), "The adapter’s configuration is missing");
  assert.equal(titleOf("truncated", { kind: "missing-shard" }), "Files of the model are missing");
  assert.equal(titleOf("wrong-input", { kind: "web-page" }), "This is a web page, not a model’s file");
  assert.equal(titleOf("fetch-failed", { kind: "access-denied", file: "https://a.example/model/" }), "The server does not let everybody read this");
  // Not a server: the permission for a folder.
  assert.equal(titleOf("fetch-failed", { kind: "access-denied", file: "model" }), "A file could not be read");
  assert.equal(titleOf("write-failed", { kind: "access-denied", file: "out" }), "The merged model could not be written");
});

test("files of other formats are told by their names", () => {
  for (const [name, title] of [["model.gguf", "model.gguf is GGUF"], ["model.pt", "model.pt is PyTorch’s own format"], ["notes.txt", "There is no model’s file here"]]) {
    assert.equal(titleOf("wrong-input", { kind: "no-weights" }, [{ names: [name] }]), title);
  }
  assert.equal(titleOf("wrong-input", { kind: "no-weights" }, [{ names: ["a.safetensors"] }]), "This is not what it was chosen as");
});

test("the words of a message change nothing", () => {
  for (const message of [
    "this is an adapter, not a base", "this is a base model, not an adapter", "x: this shard is not there", "adapter_config.json: not there", "the server answered 401",
    "the header claims 5784399171037807676 bytes", "no model.safetensors", "expected value at line 1 column 1",
  ]) {
    assert.equal(adviceFor(new LorafoldError("bad-header", message), [{ names: ["model.gguf"], source: "https://a.example/" }]).title, "Not a model that can be read");
  }
});

test("every code has advice; what is none of ours is unexpected, and so is a mistake of ours", () => {
  const unexpected = adviceFor(new TypeError(FOREIGN), []);
  assert.equal(adviceFor(new LorafoldError("internal", FOREIGN), []).title, unexpected.title);
  assert.notEqual(titleOf("wrong-input", {}), unexpected.title);
  assert.notEqual(titleOf("write-failed", {}), unexpected.title);
  assert.deepEqual(adviceFor(new LorafoldError("non-finite", FOREIGN, { tensor: "a" }), []).offer, { option: "allowNonfinite", label: "Allow such values" });
  assert.equal(adviceFor(new LorafoldError("non-finite", FOREIGN, { tensor: "a", adapter: "b" }), []).offer, undefined);
});
