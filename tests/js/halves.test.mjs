// @ts-check
// The second half of the WebAssembly: what needs it, and what is said where it is not there or another's.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { initialize, merge } from "../../pkg/edge.js";
import { fixture } from "./fixture.mjs";
import { hashes } from "./scratch.mjs";

const [first, rest] = ["bg", "rest"].map((half) => readFileSync(new URL(`../../pkg/lorafold_${half}.wasm`, import.meta.url)));

/** @param {string} path */
const files = (path) => readdirSync(path).map((name) => new File([readFileSync(join(path, name))], name));

/** @param {string} name */
function options(name) {
  const { base, adapters } = fixture(name);
  return { base: files(base), adapters: adapters.map(({ path, weight }) => ({ source: files(path), weight })) };
}

const LORA = options("linear-r8");
const LOHA = options("loha");

test("without it LoRA is merged, and what needs it says so", async () => {
  await initialize(first);
  const sums = await hashes(await merge(LORA));
  await assert.rejects(merge(LOHA), { code: "bad-option", message: /second half.*lorafold_rest\.wasm/ });
  // The instance in which that call has ended was replaced.
  assert.deepEqual(await hashes(await merge(LORA)), sums);
});

test("one of another version does not link", async () => {
  const other = Uint8Array.from(rest);
  const at = rest.indexOf("$loaded-") + "$loaded-".length;
  other[at] = other[at] === 0x30 ? 0x31 : 0x30;
  await initialize(first, { rest: other });
  await assert.rejects(merge(LOHA), { code: "internal", message: /different versions/ });
});

test("another module is none", async () => {
  await assert.rejects(initialize(first, { rest: first }), { code: "bad-option", message: /not lorafold's WebAssembly/ });
});

test("with it every method is merged, as in Node", async () => {
  await initialize(first, { rest });
  const sums = await hashes(await merge(LOHA));
  const { merge: inNode } = await import("../../pkg/node.js");
  assert.deepEqual(sums, await hashes(await inNode(LOHA)));
});
