// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { schedule } from "./schedule.mjs";
import { allStages } from "./stages.mjs";

/** Runs steps that end when they are told to. @param {import("./schedule.mjs").Step[]} steps @param {number} places */
function started(steps, places) {
  /** @type {Map<string, (ok: boolean) => void>} */
  const running = new Map();
  const done = schedule(steps, places, ({ name }) =>
    new Promise((resolve) => running.set(name, (ok) => {
      running.delete(name);
      resolve({ ok });
    })));
  return {
    done,
    /** What runs now, after every promise that can has gone on. */
    async now() {
      await new Promise(setImmediate);
      return [...running.keys()];
    },
    /** @param {string} name */
    end: (name, ok = true) => running.get(name)?.(ok),
  };
}

test("steps run in order, as many at once as there are places, never two of a lane", async () => {
  const { done, now, end } = started([{ name: "a", lane: "x" }, { name: "b", lane: "x" }, { name: "c" }, { name: "d" }], 2);
  assert.deepEqual(await now(), ["a", "c"]);
  end("c");
  assert.deepEqual(await now(), ["a", "d"]);
  end("d");
  assert.deepEqual(await now(), ["a"]);
  end("a");
  assert.deepEqual(await now(), ["b"]);
  end("b");
  assert.equal((await done).size, 4);
});

test("a step waits for those it comes after, but not for those that nobody asked for", async () => {
  const { done, now, end } = started([{ name: "a", after: ["b", "not chosen"] }, { name: "b" }], 2);
  assert.deepEqual(await now(), ["b"]);
  end("b", false);
  assert.deepEqual(await now(), ["a"]);
  end("a");
  await done;
});

test("after an essential step that fails nothing begins, and what runs comes to its end", async () => {
  const { done, now, end } = started([{ name: "a", essential: true }, { name: "b" }, { name: "c" }], 2);
  assert.deepEqual(await now(), ["a", "b"]);
  end("a", false);
  assert.deepEqual(await now(), ["b"]);
  end("b");
  assert.deepEqual([...(await done).keys()].map(({ name }) => name), ["a", "b"]);
});

test("steps in a circle are an error, not a wait for ever", async () => {
  const steps = [{ name: "a", after: ["b"] }, { name: "b", after: ["a"] }];
  await assert.rejects(schedule(steps, 2, async () => ({ ok: true })), /a, b/);
});

test("the stages can all be run, and what they come after exists", async () => {
  const stages = allStages();
  const names = new Set(stages.map(({ name }) => name));
  assert.deepEqual(stages.flatMap(({ after = [] }) => after).filter((name) => !names.has(name)), []);
  assert.equal((await schedule(stages, 2, async () => ({ ok: true }))).size, stages.length);
});
