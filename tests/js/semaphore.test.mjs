// @ts-check
// Permits to read the base: held as long as their holder lives, and released while nothing is under way.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openMerged } from "../../pkg/node.js";
import { Semaphore } from "../../pkg/merged/semaphore.js";
import { correct, scriptedServer } from "./scripted-server.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const WEIGHTS = "model.safetensors";

/** @param {import("node:test").TestContext} t */
function clock({ mock }) {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  return async (/** @type {number} */ seconds) => {
    for (let tick = 0; tick < seconds * 10; tick++) {
      mock.timers.tick(100);
      await null;
    }
  };
}

test("a permit is kept for as long as the work takes", async (t) => {
  const pass = clock(t);
  const semaphore = new Semaphore(1);
  const first = await semaphore.acquire();
  let begun = false;
  const second = semaphore.acquire().then((permit) => {
    begun = true;
    return permit;
  });
  await pass(120);
  assert.ok(!begun, "it counted as abandoned");
  first.release();
  await pass(1);
  assert.ok(begun);
  (await second).release();
});

test("a permit whose work was dropped is given to another after a while", async (t) => {
  const pass = clock(t);
  const semaphore = new Semaphore(1);
  // A runtime that drops the work of a request drops its timers.
  const dropped = t.mock.method(globalThis, "setInterval", () => 0);
  await semaphore.acquire();
  dropped.mock.restore();
  let begun = false;
  void semaphore.acquire().then(() => (begun = true));
  await pass(20);
  assert.ok(!begun);
  await pass(20);
  assert.ok(begun);
});

test("a read that waits because a server says so lets others go first", async (t) => {
  const { base, adapter } = tinyModel();
  let busy = 0;
  const server = await scriptedServer(base, (asked) => {
    if (asked.name !== WEIGHTS || asked.count === 0 || busy >= 4) return correct(asked);
    busy++;
    return { status: 429, headers: { "Retry-After": 1 } };
  });
  t.after(server.close);
  const model = await openMerged({ base: server.url, adapters: [asFiles(adapter)] });
  /** @type {number[]} */
  const order = [];
  const [{ size }] = model.files.filter(({ name }) => name === WEIGHTS);
  const read = async (/** @type {number} */ reader) => {
    for await (const _ of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (model.stream(WEIGHTS, size - 8)))) order.push(reader);
  };
  await Promise.all([0, 1, 2, 3, 4].map(read));
  assert.equal(order[0], 4);
  assert.equal(order.length, 5);
  model.close();
});
