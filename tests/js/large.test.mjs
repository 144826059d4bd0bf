// @ts-check
// Files and tensors beyond 4 GiB, and tensors much larger than the memory that a merge takes.
import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { merge } from "../../pkg/node.js";
import { start } from "./command.mjs";
import { largeModel, readerOf, wrongIn } from "./large-model.mjs";
import { scratch } from "./scratch.mjs";

const MB = 1e6;

/** Merge by the command line, and measure it.
 * @param {{ base: string, adapter: string, out: string }} paths @param {number} workers */
async function measured({ base, adapter, out }, workers) {
  const words = ["merge", "--base", base, "--adapter", adapter, "--out", out, "--workers", String(workers), "--quiet"];
  const started = performance.now();
  const ended = await start(words, { env: { ...process.env, NODE_OPTIONS: `--import ${new URL("peak.mjs", import.meta.url).href}` } }).ended;
  assert.equal(ended.code, 0, ended.stderr);
  const [, kilobytes] = /^peak (\d+)$/m.exec(ended.stderr) ?? assert.fail(ended.stderr);
  const peak = Number(kilobytes) * 1024;
  return { peak, seconds: (performance.now() - started) / 1000 };
}

test("a tensor beyond 4 GiB of its file, between others", async (t) => {
  const folder = await scratch(t);
  const { base, adapter, bytes } = await largeModel(folder, { rows: 5003, cols: 2048, before: 4.4e9, after: 10 * MB });
  let [at, size] = [0, 0];
  const kept = new Map();
  const output = (/** @type {{ name: string, size: number }} */ file) => {
    if (!file.name.endsWith(".safetensors")) return new WritableStream();
    size = file.size;
    return new WritableStream({
      write: (block) => {
        // Of the zeros before it nothing is kept.
        if (at < 1e6 || at > 4.39e9) kept.set(at, block);
        at += block.length;
      },
    });
  };
  const { report } = await merge({ base, adapters: [adapter], workers: 2, output });
  assert.equal(report.merged, 1);
  assert.equal(at, size);
  assert.ok(size > bytes, "its recipe comes on top");
  const read = async (/** @type {number} */ from, /** @type {number} */ to) => {
    const parts = [...kept].filter(([start, block]) => start < to && start + block.length > from)
      .map(([start, block]) => block.subarray(Math.max(0, from - start), to - start));
    return Buffer.concat(parts);
  };
  assert.deepEqual(await wrongIn(read), []);
});

test("a tensor of 600 MB takes less than 400 MB of memory", async (t) => {
  const folder = await scratch(t);
  const { base, adapter, bytes } = await largeModel(folder, { rows: 150_000, cols: 2048, before: 100 * MB, after: 100 * MB });
  const out = join(folder, "out");
  const { peak, seconds } = await measured({ base, adapter, out }, 2);
  t.diagnostic(`peak ${(peak / MB).toFixed(0)} MB, ${seconds.toFixed(1)} s`);
  assert.ok((await stat(join(out, "model.safetensors"))).size > bytes);
  assert.deepEqual(await wrongIn(readerOf(join(out, "model.safetensors"))), []);
  assert.ok(peak < 400 * MB, `${peak} bytes`);
});

test("a base of 20 GB with a tensor of 6 GB takes less than 400 MB of memory", {
  skip: !process.env.LORAFOLD_LARGE && "writes 20 GB: set LORAFOLD_LARGE=1",
}, async (t) => {
  const folder = await scratch(t);
  const { base, adapter, bytes } = await largeModel(folder, { rows: 1_500_000, cols: 2048, before: 7e9, after: 6.9e9 });
  assert.ok(bytes > 20e9);
  const out = join(folder, "out");
  const { peak, seconds } = await measured({ base, adapter, out }, 2);
  t.diagnostic(`${(bytes / 1e9).toFixed(1)} GB: peak ${(peak / MB).toFixed(0)} MB, ${seconds.toFixed(1)} s`);
  assert.deepEqual(await wrongIn(readerOf(join(out, "model.safetensors"))), []);
  assert.ok(peak < 400 * MB, `${peak} bytes`);
});
