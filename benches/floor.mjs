// @ts-check
// The least that a merge of files in Node can take: every byte is read into WebAssembly memory, the kernel goes over those that are merged, and every byte
// is written, by as many workers as merge, each in its own half of the bytes, in blocks that fit the processor's cache. No plan, no factors of a model, no
// messages; and measured is only the work, not the start of Node and its workers.
//   node benches/floor.mjs KERNEL.wasm BASE OUT RANK COLS SHARE WORKERS [BLOCK]    prints nothing; what it took goes to descriptor 3 (child.mjs)
import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { instantiateKernel } from "./kernel-module.mjs";

/** Bytes of a block. */
const BLOCK = 512 << 10; // The fastest of those tried: larger writes wait for memory in one piece (NOTES.md).
const BF16 = 1;
/** Milliseconds in which V8 optimises the kernel before anything is measured. */
const WARM = 400;

/**
 * @typedef {object} Work
 * @property {string} kernel file of the module
 * @property {string} base
 * @property {string} out
 * @property {number} rank
 * @property {number} cols
 * @property {number} share of the bytes that is merged, from 0 to 1
 * @property {number} workers
 * @property {number} block bytes
 */

/** The files of a model, one after another. @param {string} folder */
const files = (folder) => readdirSync(folder).filter((name) => name.endsWith(".safetensors")).sort().map((name) => ({ name, size: statSync(join(folder, name)).size }));

/** @param {Work & { number: number }} work */
function serve({ kernel: file, base, out, rank, cols, share, workers, block, number }) {
  const kernel = instantiateKernel(file);
  if (!kernel.bench_prepare(block / 2 / cols, cols, rank, BF16)) throw new Error("not enough memory");
  const buffer = new Uint8Array(kernel.memory.buffer, kernel.bench_bytes(), block);
  const initial = buffer.slice();
  for (const end = performance.now() + WARM; performance.now() < end; buffer.set(initial)) kernel.bench_fold(0);
  const all = files(base);
  const total = all.reduce((sum, { size }) => sum + size, 0);
  parentPort?.once("message", () => {
    let [before, turn] = [0, 0];
    for (const { name, size } of all) {
      const [start, end] = [number, number + 1].map((part) => Math.min(Math.max(Math.round((total * part) / workers / BLOCK) * BLOCK - before, 0), size));
      before += size;
      if (start >= end) continue;
      const [from, to] = [openSync(join(base, name), "r"), openSync(join(out, name), "r+")];
      for (let at = start; at < end; at += block, turn++) {
        const part = buffer.subarray(0, Math.min(block, end - at));
        readSync(from, part, 0, part.length, at);
        if (Math.floor((turn + 1) * share) > Math.floor(turn * share)) kernel.bench_fold(0);
        writeSync(to, part, 0, part.length, at);
      }
      closeSync(from);
      closeSync(to);
    }
    parentPort?.postMessage("done");
  });
  parentPort?.postMessage("ready");
}

/** @param {Work} work */
async function main(work) {
  mkdirSync(work.out, { recursive: true });
  for (const { name, size } of files(work.base)) {
    const file = openSync(join(work.out, name), "wx");
    ftruncateSync(file, size);
    closeSync(file);
  }
  const workers = Array.from({ length: work.workers }, (_, number) => new Worker(new URL(import.meta.url), { workerData: { ...work, number } }));
  const said = () =>
    Promise.all(workers.map((worker) => new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject))));
  await said();
  const [cpu, began] = [process.cpuUsage(), performance.now()];
  workers.forEach((worker) => worker.postMessage("go"));
  await said();
  const { user, system } = process.cpuUsage(cpu);
  writeSync(3, JSON.stringify({ user: user / 1e6, system: system / 1e6, wall: (performance.now() - began) / 1000 }));
  workers.forEach((worker) => worker.terminate());
}

if (isMainThread) {
  const [kernel = "", base = "", out = "", rank, cols, share, workers, block = BLOCK] = process.argv.slice(2);
  await main({ kernel, base, out, rank: Number(rank), cols: Number(cols), share: Number(share), workers: Number(workers), block: Number(block) });
} else {
  serve(workerData);
}
