// @ts-check
// Many clients that ask for ranges at the same time, of `lorafold serve` and of the edge template: every byte is compared with the merged
// file, and memory is watched. It measures nothing that could be a target; it must end without an error.
//   node benches/load.mjs [--seconds 60] [--clients 50] [--only serve,edge]
import { openSync, readSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measureNode } from "./child.mjs";
import { edgeWorker, firstShard } from "./edge.mjs";
import { adapter, baseModel, LLAMA_1B, withLayers, workFolder } from "./model.mjs";
import { demandPackage, packageFolder } from "./package.mjs";
import { running, usageOf } from "./programs.mjs";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" }, clients: { type: "string", default: "50" }, only: { type: "string", default: "serve,edge" } } });
const seconds = Math.min(Number(values.seconds), 600);
const clients = Math.min(Number(values.clients), 500);

const shape = withLayers(LLAMA_1B, 3);
const file = firstShard(shape);

/** @param {string} name @param {string} url @param {number} pid @param {string} merged the written file */
async function load(name, url, pid, merged) {
  const { size } = statSync(merged);
  const descriptor = openSync(merged, "r");
  const end = performance.now() + seconds * 1000;
  let [requests, bytes, errors, wrong] = [0, 0, 0, 0];
  /** @type {number[]} */
  const memory = [];
  const watch = setInterval(() => memory.push(usageOf(pid).rss), 500);
  const before = usageOf(pid).cpu;
  const client = async (/** @type {number} */ number) => {
    let state = number + 1;
    const next = () => (state = (state * 48271) % 2147483647) / 2147483647;
    while (performance.now() < end) {
      const length = 1 + Math.floor(next() ** 3 * (4 << 20));
      const start = Math.floor(next() * (size - length));
      try {
        const response = await fetch(url + file, { headers: { range: `bytes=${start}-${start + length - 1}`, "accept-encoding": "identity" } });
        const body = Buffer.from(await response.arrayBuffer());
        const expected = Buffer.alloc(length);
        readSync(descriptor, expected, 0, length, start);
        if (response.status !== 206 || !body.equals(expected)) {
          if (wrong++ < 3) console.error(`${name}: ${response.status}, ${body.length} bytes for ${length}: ${body.subarray(0, 300)}`);
        }
        requests++;
        bytes += body.length;
      } catch (error) {
        errors++;
        console.error(`${name}: ${/** @type {Error} */ (error).message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
  clearInterval(watch);
  const quarter = Math.max(1, memory.length >> 2);
  const peak = (/** @type {number[]} */ part) => Math.max(...part).toFixed(0);
  const cpu = usageOf(pid).cpu - before;
  console.log(`${name}: ${clients} clients for ${seconds} s: ${requests} requests, ${(bytes / 2 ** 20 / seconds).toFixed(0)} MiB/s, ${((cpu * 1000) / (bytes / 2 ** 20)).toFixed(2)} CPU ms/MiB, ` +
    `${errors} errors, ${wrong} wrong; memory at most ${peak(memory.slice(quarter, 2 * quarter))} MiB in the second quarter, ${peak(memory.slice(-quarter))} MiB in the last`);
  if (errors + wrong > 0) process.exitCode = 1;
}

await demandPackage({ browsers: false });
const [base, lora] = [baseModel(shape), adapter(shape, 16)];
const out = join(workFolder, "load");
rmSync(out, { recursive: true, force: true });
await measureNode([join(packageFolder, "cli.js"), "merge", "--quiet", "--base", base, "--adapter", lora, "--out", out]);
const merged = join(out, file);
if (values.only.includes("serve")) {
  const server = await running([join(packageFolder, "cli.js"), "serve", "--base", base, "--adapter", lora, "--port", "0"], /http:\S+/);
  await load("lorafold serve", server.said, server.pid, merged);
  await server.stop();
}
if (values.only.includes("edge")) {
  const origin = await running([fileURLToPath(new URL("origin.mjs", import.meta.url)), workFolder]);
  const at = (/** @type {string} */ folder) => `${origin.said}${folder.slice(workFolder.length)}/`;
  const worker = await edgeWorker({ BASE: at(base), ADAPTERS: JSON.stringify([{ source: at(lora) }]) });
  await load("edge template in workerd", worker.url, worker.pid, merged);
  await worker.stop();
  await origin.stop();
}
rmSync(out, { recursive: true, force: true });
