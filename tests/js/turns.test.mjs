// @ts-check
// Turns at the base: held for as long as whoever has one lives, and given up while nothing is under way.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openMerged } from "../../pkg/node.js";
import { Turns } from "../../pkg/merged/turns.js";
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

test("a turn is kept for as long as it takes", async (t) => {
  const pass = clock(t);
  const turns = new Turns(1);
  const first = await turns.begin();
  let begun = false;
  const second = turns.begin().then((turn) => {
    begun = true;
    return turn;
  });
  await pass(120);
  assert.ok(!begun, "it counted as lost");
  first.end();
  await pass(1);
  assert.ok(begun);
  (await second).end();
});

test("a turn whose work was dropped is another's after a while", async (t) => {
  const pass = clock(t);
  const turns = new Turns(1);
  // A runtime that drops the work of a request drops its timers.
  const dropped = t.mock.method(globalThis, "setInterval", () => 0);
  await turns.begin();
  dropped.mock.restore();
  let begun = false;
  void turns.begin().then(() => (begun = true));
  await pass(20);
  assert.ok(!begun);
  await pass(20);
  assert.ok(begun);
});

test("who waits because a server says so lets others go first", async (t) => {
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
