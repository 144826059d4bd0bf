// @ts-check
// An instance of the WebAssembly in which a call has ended in the middle, whichever it was: its error has a code, it is not used again, and the
// next request gets a new one.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { initialize, LorafoldError, openMerged, plan } from "../../pkg/edge.js";
import { blockBytes, Merger, Plan } from "../../pkg/lorafold.js";
import { serve } from "../../pkg/workers/serve.js";
import { assemble } from "./safetensors-file.mjs";
import { asFiles, factor, Q, tinyModel } from "./tiny-model.mjs";

// No handler of uncaught exceptions here: the runner fails a test that has one.
const module = await WebAssembly.compile(await readFile(new URL("../../pkg/lorafold_bg.wasm", import.meta.url)));
await initialize(module);

const { base, adapter } = tinyModel();
const openTiny = () => openMerged({ base: asFiles(base), adapters: [asFiles(adapter)] });
/** More than the memory that the edge allows. */
const LARGE = 100 << 20;

/** The plan, by the generated class, of a weight of four million elements, which are all zero. */
async function planLarge() {
  // What an earlier test broke is replaced.
  (await openTiny()).close();
  const side = 2048;
  /** @param {string} name @param {Record<string, number[]>} shapes */
  const weights = (name, shapes) => {
    let at = 0;
    const header = assemble(Object.fromEntries(Object.entries(shapes).map(([tensor, shape]) => [tensor, { dtype: "F32", shape, data_offsets: [at, (at += 4 * shape[0] * shape[1])] }])), []);
    return { name, bytes: header, size: header.length + at };
  };
  const config = Buffer.from(JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1 }));
  const files = [
    weights("model.safetensors", { [`${Q}.weight`]: [side, side] }),
    weights("adapter_model.safetensors", { [factor(Q, "A")]: [1, side], [factor(Q, "B")]: [side, 1] }),
    { name: "adapter_config.json", bytes: config, size: config.length },
  ];
  const inputs = files.map(({ name, bytes }) => ({
    name,
    read: async (/** @type {number} */ start, /** @type {number} */ end) => {
      const filled = new Uint8Array(end - start);
      filled.set(bytes.subarray(start, end));
      return filled;
    },
  }));
  const listed = files.map(({ name, size }) => ({ name, size }));
  return Plan.open({ base: { name: "b", files: listed.slice(0, 1) }, adapters: [{ folder: { name: "a", files: listed.slice(1) }, options: {} }], options: {} }, inputs);
}

/** @type {Record<string, (plan: Plan, merger: Merger) => unknown>} */
const CALLS = {
  "Plan.pieces, in its result": (plan) => plan.pieces(0, 0, Number.MAX_SAFE_INTEGER, 1, undefined),
  "Plan.addFacts, in its argument": (plan) => plan.addFacts(0, new Uint8Array(LARGE)),
  "Merger.load, in its argument": (_, merger) => merger.load(0, new Uint8Array(LARGE)),
  "Merger.learn, in its argument": (_, merger) => merger.learn(0, new Uint8Array(LARGE)),
  "Merger.computeGiven, in its argument": (_, merger) => merger.computeGiven(0, 0, 1, new Array(LARGE >> 2).fill(new Uint8Array()), []),
  "Merger.compute, in its argument": (_, merger) => merger.compute(0, 0, 1, false, new Array(LARGE >> 2).fill(new Uint8Array())),
  // Not memory: the object is gone.
  "Plan.summary, of a plan that was freed": (plan) => {
    plan.free();
    return plan.summary();
  },
};

describe("a call that ends in the middle", () => {
  for (const [name, call] of Object.entries(CALLS)) {
    test(name, async () => {
      const plan = await planLarge();
      const merger = new Merger([], false, 0);
      const held = await openTiny();
      const expected = name.includes(" in its ") ? { name: "LorafoldError", code: "limit-exceeded", facts: { kind: "no-memory" } } : { name: "Error", message: /null pointer/ };
      // Thrown at once by every call that is not asynchronous.
      assert.throws(() => void call(plan, merger), expected);
      // The instance is not entered again before it is replaced, and whatever is freed there is left alone.
      assert.throws(() => blockBytes(undefined), expected);
      assert.doesNotThrow(() => merger.free());
      const next = await openTiny();
      assert.ok((await next.read("model.safetensors")).length > 0);
      await assert.rejects(held.read("model.safetensors"), { code: "source-changed" });
      // Objects of the old instance: their numbers mean other things in the new one.
      assert.throws(() => plan.files(), expected);
      assert.doesNotThrow(() => plan.free());
      assert.doesNotThrow(() => held.close());
      assert.deepEqual(await next.read("model.safetensors"), await next.read("model.safetensors"));
      next.close();
    });
  }
});

test("asynchronous work: its promise is rejected, and so are those of others that wait in the same instance", async () => {
  let answer = () => {};
  const late = {
    list: async () => Object.entries(base).map(([name, bytes]) => ({ name, size: bytes.length })),
    /** @param {string} name @param {number} start @param {number} end */
    read: (name, start, end) => new Promise((resolve) => (answer = () => resolve(new Uint8Array(Buffer.from(base[name]).subarray(start, end))))),
  };
  const waiting = assert.rejects(plan({ base: late, adapters: [asFiles(adapter)] }), (error) => error instanceof LorafoldError && error.code === "limit-exceeded");
  await assert.rejects(plan({ base: asFiles(base), adapters: [{ source: asFiles(adapter), name: "x".repeat(LARGE) }] }), { name: "LorafoldError", code: "limit-exceeded", facts: { kind: "no-memory" } });
  const next = await openTiny();
  await waiting;
  // The answer comes when the instance that waited for it is no more.
  answer();
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok((await next.read("model.safetensors")).length > 0);
  next.close();
});

test("memory that could not be had, and was told as an error, is not what a later trap is about", async () => {
  const inputs = [{ name: "x", read: async () => new Uint8Array() }];
  (await openTiny()).close();
  const merger = new Merger(inputs, false, 0);
  await assert.rejects(merger.read(0, 0, LARGE), { code: "limit-exceeded" });
  merger.free();
  const looped = new Proxy({}, { get: () => { throw new RangeError("Maximum call stack size exceeded"); }, has: () => true, ownKeys: () => [] });
  assert.throws(() => new Merger(/** @type {any} */ (looped), false, 0), { name: "LorafoldError", code: "internal" });
  (await openTiny()).close();
});

test("a worker tells its owner what broke it, whichever message it was", async () => {
  const request = { base: { name: "b", files: [] }, adapters: [], options: { only: "x".repeat(LARGE) } };
  const job = { kind: "compute", program: 0, first: 0, count: 1, skip: 0, bytes: 4, statistics: false, reads: [] };
  for (const message of [{ type: "plan", id: 1, request }, { type: "job", id: 1, job, update: { load: { number: 0, program: new Uint8Array(LARGE) } } }]) {
    /** @type {(message: any) => void} */
    let send = () => {};
    const answered = new Promise((resolve) => {
      serve({ post: (said) => said.type === "error" && resolve(said), onMessage: (handler) => (send = /** @type {any} */ (handler)), onError: () => {}, terminate: () => {} });
    });
    // The worker's instance is that of this thread: replaced where it is broken, and its memory limited.
    (await openTiny()).close();
    send({ type: "start", module, inputs: [], allowNonfinite: false });
    send(message);
    const { error } = await answered;
    assert.deepEqual([error.code, error.facts], ["limit-exceeded", { kind: "no-memory" }]);
  }
  (await openTiny()).close();
});
