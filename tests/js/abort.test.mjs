// @ts-check
// AbortSignal, progress, and what is left running or open after a merge.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect, LorafoldError, merge, plan } from "../../pkg/node.js";
import { adapterOptions, fixture } from "./fixture.mjs";
import { largeModel } from "./large-model.mjs";
import { scratch } from "./scratch.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const made = fixture("linear-r8");
const sample = { base: made.base, adapters: adapterOptions(made) };
const forever = () => /** @type {Promise<never>} */ (new Promise(() => {}));
const nowhere = () => new WritableStream();
const aborted = { name: "LorafoldError", code: "aborted" };
/** So small that a tensor has many blocks. */
const memoryBudget = 9 * 2 ** 20;

/** @type {[string, (folder: string) => import("../../pkg/types.js").Output][]} */
const OUTPUTS = [["to a folder", (folder) => join(folder, "new", "out")], ["to Blobs", () => "blob"], ["to streams", () => nowhere]];

describe("abort", () => {
  test("before anything has begun", async () => {
    const signal = AbortSignal.abort("no more");
    for (const begin of [() => merge({ ...sample, signal }), () => plan({ ...sample, signal }), () => inspect(made.base, { signal })]) {
      await assert.rejects(begin(), (error) => {
        assert.ok(error instanceof LorafoldError);
        assert.equal(error.code, "aborted");
        assert.equal(error.detail, "no more");
        return true;
      });
    }
  });

  for (const workers of [0, 1, 3]) {
    for (const [how, output] of OUTPUTS) {
      test(`in the middle, ${how}, with ${workers} workers`, async (t) => {
        const folder = await scratch(t);
        const { base, adapter } = await largeModel(folder, { rows: 50_000, cols: 2048 });
        const controller = new AbortController();
        let calls = 0;
        let over = false;
        const merging = merge({
          base, adapters: [adapter], workers, memoryBudget, output: output(folder), signal: controller.signal,
          onProgress: () => {
            assert.ok(!over, "no progress after the end");
            // From the event loop, as a user's click comes: work must leave it room.
            if (++calls === 3) setImmediate(() => controller.abort());
          },
        });
        await assert.rejects(merging, aborted);
        over = true;
        assert.ok(calls < 500, `${calls} of a thousand blocks were done`);
        assert.deepEqual((await readdir(folder)).sort(), ["adapter", "base"]);
        await new Promise((resolve) => setTimeout(resolve, 50));
        assert.deepEqual((await readdir(folder)).sort(), ["adapter", "base"]);
      });
    }
  }

  test("while a source does not answer", async () => {
    const { base, adapter } = tinyModel();
    for (const stage of ["list", "header", "weights"]) {
      for (const workers of [0, 2]) {
        const controller = new AbortController();
        let reads = 0;
        const source = {
          list: () => (stage === "list" ? hang() : Promise.resolve(Object.entries(base).map(([name, { length }]) => ({ name, size: length })))),
          read: (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => {
            const weights = name === "model.safetensors" && ++reads > 2;
            return stage === "header" || (stage === "weights" && weights) ? hang() : Promise.resolve(new Uint8Array(base[name].subarray(start, end)));
          },
        };
        const hang = () => {
          setImmediate(() => controller.abort());
          return forever();
        };
        await assert.rejects(merge({ base: source, adapters: [asFiles(adapter)], workers, signal: controller.signal }), aborted, `${stage}, ${workers}`);
      }
    }
  });

  test("while an output does not take what it is given", async () => {
    for (const stage of ["factory", "write"]) {
      const controller = new AbortController();
      let closed = 0;
      const hang = () => {
        setImmediate(() => controller.abort());
        return forever();
      };
      const output = () => (stage === "factory" ? hang() : new WritableStream({ write: hang, abort: () => void closed++ }));
      await assert.rejects(merge({ ...sample, output, workers: 1, signal: controller.signal }), aborted, stage);
    }
  });

  test("by the output itself, at its first write", async () => {
    /** @type {unknown[]} */
    const unhandled = [];
    const note = (/** @type {unknown} */ error) => void unhandled.push(error);
    process.on("unhandledRejection", note);
    try {
      const controller = new AbortController();
      const output = () => new WritableStream({ write: () => controller.abort() });
      await assert.rejects(merge({ ...sample, output, workers: 1, signal: controller.signal }), aborted);
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.deepEqual(unhandled, []);
    } finally {
      process.off("unhandledRejection", note);
    }
  });

  test("a signal that is never used is not held on to", async () => {
    const { signal } = new AbortController();
    const listeners = { added: 0, removed: 0 };
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = (/** @type {Parameters<typeof add>} */ ...words) => (listeners.added++, add(...words));
    signal.removeEventListener = (/** @type {Parameters<typeof remove>} */ ...words) => (listeners.removed++, remove(...words));
    await merge({ ...sample, workers: 1, signal });
    assert.ok(listeners.added > 0);
    assert.equal(listeners.removed, listeners.added);
  });
});

describe("progress", () => {
  for (const workers of [0, 2]) {
    test(`grows from file to file and ends at the total, with ${workers} workers`, async () => {
      const { base, adapters } = { ...sample, ...fixtureOf("sharded") };
      /** @type {import("../../pkg/types.js").Progress[]} */
      const seen = [];
      const { files } = await merge({ base, adapters, workers, onProgress: (progress) => void seen.push({ ...progress }) });
      const total = files.reduce((sum, { size }) => sum + size, 0);
      assert.ok(seen.length >= files.length);
      for (const [i, { bytes, total: of, file }] of seen.entries()) {
        assert.equal(of, total);
        assert.ok(bytes > (i > 0 ? seen[i - 1].bytes : 0) && bytes <= total);
        assert.ok(files.some(({ name }) => name === file));
      }
      assert.equal(seen.at(-1)?.bytes, total);
    });
  }

  test("an error in onProgress ends the merge with that error", async (t) => {
    const output = join(await scratch(t), "out");
    const mine = new RangeError("mine");
    const onProgress = () => {
      throw mine;
    };
    await assert.rejects(merge({ ...sample, output, workers: 1, onProgress }), (error) => error === mine);
    assert.ok(!existsSync(output));
  });
});

/** @param {string} name */
function fixtureOf(name) {
  const one = fixture(name);
  return { base: one.base, adapters: adapterOptions(one) };
}

describe("a process", { concurrency: 2 }, () => {
  const entry = new URL("../../pkg/node.js", import.meta.url).href;
  /** @param {string} body @returns {Promise<string>} what it printed, once it has ended by itself */
  const run = (body) => new Promise((resolve, reject) => {
    const script = `import * as lorafold from ${JSON.stringify(entry)}; const sample = ${JSON.stringify(sample)}; ${body}`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["ignore", "pipe", "inherit"], timeout: 60_000 });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part) => (text += part));
    child.once("close", (code, signal) => (code === 0 ? resolve(text.trim()) : reject(new Error(`ended with ${code ?? signal}: ${text}`))));
  });

  test("ends by itself after a merge", async () => {
    assert.equal(await run("await lorafold.merge({ ...sample, workers: 3 }); console.log('done')"), "done");
  });
  test("ends by itself after a merge that failed", async () => {
    assert.equal(await run("await lorafold.merge({ ...sample, workers: 2, output: () => { throw new Error('no') } }).catch(() => console.log('failed'))"), "failed");
    assert.equal(await run("await lorafold.merge({ ...sample, workers: 2, adapters: [{ ...sample.adapters[0], weight: 1e43 }] }).catch((e) => console.log(e.code))"), "non-finite");
  });
  test("ends by itself after a merge that was aborted", async () => {
    assert.equal(await run(`
      const controller = new AbortController();
      const onProgress = () => controller.abort();
      await lorafold.merge({ ...sample, workers: 2, signal: controller.signal, onProgress }).catch((e) => console.log(e.code))`), "aborted");
  });

  test("has no more files open after many merges", { skip: !existsSync("/proc/self/fd") && "this system does not list open files" }, async (t) => {
    const folder = await scratch(t);
    const once = async (/** @type {string} */ name) => {
      await plan(sample);
      await inspect(made.base);
      await inspect(made.adapters[0].path);
      for (const workers of [0, 1]) await merge({ ...sample, workers, output: join(folder, `${name}-${workers}`) });
      await assert.rejects(merge({ ...sample, adapters: [{ ...sample.adapters[0], weight: 1e43 }], workers: 0 }), { code: "non-finite" });
      await assert.rejects(plan({ ...sample, only: "nothing" }), { code: "bad-option" });
    };
    await once("first");
    const before = (await readdir("/proc/self/fd")).length;
    for (let i = 0; i < 5; i++) await once(String(i));
    // Threads that were told to end hold theirs for a moment more.
    let after = Infinity;
    for (let tries = 0; after > before && tries < 100; tries++) {
      if (tries > 0) await sleep(50);
      after = (await readdir("/proc/self/fd")).length;
    }
    assert.ok(after <= before, `${before} files were open, now ${after}`);
  });
});
