// @ts-check
// How the requests of an isolate that want one model share its opening.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { build } from "esbuild";
import { root } from "./isolate.mjs";

const { outputFiles } = await build({ entryPoints: [join(root, "pkg-templates", "edge", "src", "opening.ts")], bundle: true, format: "esm", write: false });
const { Opening } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);

const never = new AbortController().signal;

/** @param {import("node:test").TestContext} t */
function clock({ mock }) {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  return async (/** @type {number} */ milliseconds) => {
    for (let at = 0; at < milliseconds; at += 5) {
      mock.timers.tick(5);
      for (let turn = 0; turn < 4; turn++) await null;
    }
  };
}

/** Something that requests open, each time another; `end` ends the opening that is under way. */
function shared() {
  const opening = new Opening();
  /** @type {string | undefined} */
  let known;
  let opened = 0;
  /** @type {{ promise: Promise<void>, resolve: () => void, reject: (error: Error) => void }[]} */
  const works = [];
  return {
    get opened() { return opened; },
    work: (/** @type {number} */ number) => works[number],
    forget: () => void (known = undefined),
    want: (signal = never) => opening.once("key", () => known, async () => {
      const name = `opened ${opened++}`;
      /** @type {any} */
      const work = {};
      work.promise = new Promise((resolve, reject) => Object.assign(work, { resolve, reject }));
      works.push(work);
      await work.promise;
      return (known = name);
    }, signal),
  };
}

test("one opens for all, also what has changed", async (t) => {
  const pass = clock(t);
  const model = shared();
  for (let turn = 0; turn < 2; turn++) {
    const all = Promise.all([model.want(), model.want(), model.want()]);
    await pass(30_000);
    assert.equal(model.opened, turn + 1, "it took long, and was opened again");
    model.work(turn).resolve();
    await pass(50);
    assert.deepEqual(new Set(await all), new Set([`opened ${turn}`]));
    model.forget();
  }
});

test("what fails fails for those who waited, and not for who comes later", async (t) => {
  const pass = clock(t);
  const model = shared();
  const all = Promise.allSettled([model.want(), model.want()]);
  await pass(50);
  model.work(0).reject(Object.assign(new Error("no"), { code: "fetch-failed" }));
  await pass(50);
  assert.deepEqual((await all).map((/** @type {any} */ { status, reason }) => [status, reason?.code, reason?.message]), Array(2).fill(["rejected", "fetch-failed", "no"]));
  const later = model.want();
  await pass(50);
  model.work(1).resolve();
  assert.equal(await later, "opened 1");
});

test("another opens where the client has gone, at once if that is said", async (t) => {
  const pass = clock(t);
  const model = shared();
  const stop = new AbortController();
  void model.want(stop.signal);
  const other = model.want();
  await pass(200);
  assert.equal(model.opened, 1);
  stop.abort();
  await pass(50);
  assert.equal(model.opened, 2);
  model.work(1).resolve();
  assert.equal(await other, "opened 1");
});

test("another opens where the work was dropped without a word", async (t) => {
  const pass = clock(t);
  const model = shared();
  const dropped = t.mock.method(globalThis, "setInterval", () => 0);
  void model.want();
  dropped.mock.restore();
  const others = Promise.all([model.want(), model.want()]);
  await pass(1000);
  assert.equal(model.opened, 1);
  await pass(2000);
  assert.equal(model.opened, 2);
  model.work(1).resolve();
  await pass(50);
  assert.deepEqual(await others, ["opened 1", "opened 1"]);
});
