// @ts-check
// Workers: how many start, and what becomes of one that is stopped.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { nodeContext } from "../../pkg/node/context.js";
import { merge } from "../../pkg/node.js";
import { JobRunner } from "../../pkg/workers/runner.js";
import { scratch } from "./scratch.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const { base, adapter } = tinyModel();
const sample = { base: asFiles(base), adapters: [asFiles(adapter)] };

test("no more start than there are tasks", async (t) => {
  let started = 0;
  const note = () => void started++;
  process.on("worker", note);
  t.after(() => void process.off("worker", note));
  let tasks = 0;
  await merge({ ...sample, workers: 64, onProgress: () => void tasks++ });
  assert.ok(started > 0 && started <= tasks, `${started} for ${tasks}`);
});

test("a job that waits for its bytes when it is stopped writes nothing", async () => {
  const { memory } = await nodeContext.engine();
  let answer = (/** @type {Uint8Array} */ _) => {};
  const bytes = new Promise((/** @type {(bytes: Uint8Array) => void} */ resolve) => (answer = resolve));
  let written = 0;
  const input = { name: "model.safetensors", size: 4, read: () => bytes };
  const runner = new JobRunner(memory, [input], false, { write: () => void written++ });
  const jobs = [0, 1].map(() => runner.run({ kind: "copy", bytes: 4, reads: [{ input: 0, start: 0, bytes: 4 }], target: { path: "model.safetensors", at: 0 } }));
  const ends = Promise.allSettled(jobs);
  const stopped = runner.stop();
  answer(new Uint8Array(4));
  await stopped;
  for (const end of await ends) assert.equal(end.status === "rejected" && end.reason.code, "aborted");
  assert.equal(written, 0);
});

test("those that are stopped while they load leave no file open", { skip: !existsSync("/proc/self/fd") && "this system does not list open files" }, async (t) => {
  const folder = await scratch(t);
  const code = fileURLToPath(new URL("../../pkg/", import.meta.url));
  /** Files of the package that this process has open. */
  const open = async () => {
    const paths = await Promise.all((await readdir("/proc/self/fd")).map((number) => readlink(join("/proc/self/fd", number)).catch(() => "")));
    return paths.filter((path) => path.startsWith(code));
  };
  const once = async () => {
    const controller = new AbortController();
    const stop = () => void setImmediate(() => controller.abort());
    process.once("worker", stop);
    await assert.rejects(merge({ ...sample, output: join(folder, "out"), workers: 8, signal: controller.signal }), { code: "aborted" });
    process.off("worker", stop);
  };
  for (let i = 0; i < 20; i++) await once();
  // Those that have just begun to load still do.
  let left = await open();
  for (let tries = 0; left.length > 0 && tries < 100; tries++) {
    await sleep(50);
    left = await open();
  }
  assert.deepEqual(left, []);
});
