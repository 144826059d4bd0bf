// @ts-check
// The serving template in workerd: processor time for each MiB that it serves, and time to the first byte, merged and of the plain base
// through the same worker. The base is behind a URL, in another process.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { adapter, baseModel, LLAMA_1B, TOY, withLayers, workFolder } from "./model.mjs";
import { below, running, usageOf } from "./programs.mjs";
import { inTurn, median } from "./timing.mjs";

/** @typedef {import("./table.mjs").Row} Row */

const root = fileURLToPath(new URL("..", import.meta.url));

/** @param {import("./model.mjs").Shape} shape */
export const firstShard = ({ shards }) => `model-00001-of-${String(shards).padStart(5, "0")}.safetensors`;

/** Bytes of a request. */
const STEP = 4 << 20;

/** The template's worker with these variables. @param {Record<string, string>} bindings */
export async function edgeWorker(bindings) {
  const { bundle } = await import("../tests/edge/isolate.mjs");
  const { Miniflare } = createRequire(new URL("../tests/edge/", import.meta.url))("miniflare");
  const vars = Object.fromEntries([...readFileSync(join(root, "pkg-templates/edge/wrangler.toml"), "utf8").matchAll(/^([A-Z_]+) = "(.*)"$/gm)].map(([, name, value]) => [name, value]));
  const modules = await bundle(join(root, "pkg-templates/edge/src/index.ts"));
  const before = new Set(below(process.pid, "workerd"));
  const flare = new Miniflare({ modules, modulesRoot: "/", compatibilityDate: "2025-09-01", compatibilityFlags: ["enable_request_signal"], bindings: { ...vars, ...bindings } });
  const url = /** @type {URL} */ (await flare.ready);
  const pid = below(process.pid, "workerd").find((one) => !before.has(one));
  if (pid === undefined) throw new Error("workerd is not to be found among the processes");
  return { url: url.href, pid, stop: () => flare.dispose() };
}

/** @param {string} url @param {number} start @param {number} end @returns {Promise<{ first: number, bytes: number }>} ms to the first byte */
async function get(url, start, end) {
  const began = performance.now();
  const response = await fetch(url, { headers: { range: `bytes=${start}-${end - 1}`, "accept-encoding": "identity" } });
  if (response.status !== 206 || !response.body) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  let first = 0;
  let bytes = 0;
  for await (const chunk of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (response.body))) {
    first ||= performance.now() - began;
    bytes += chunk.length;
  }
  return { first, bytes };
}

/** @param {{ toy: boolean, rounds?: number, say: (text: string) => void }} options @returns {Promise<Row[]>} */
export async function edgeRows({ toy, rounds = toy ? 1 : 3, say }) {
  const shape = toy ? TOY : withLayers(LLAMA_1B, 3);
  const [base, lora] = [baseModel(shape), adapter(shape, 16)];
  const origin = await running([fileURLToPath(new URL("origin.mjs", import.meta.url)), workFolder]);
  const at = (/** @type {string} */ folder) => `${origin.said}${folder.slice(workFolder.length)}/`;
  const file = firstShard(shape);
  try {
    /** @param {object[]} adapters */
    const served = (adapters) => async () => {
      const worker = await edgeWorker({ BASE: at(base), ADAPTERS: JSON.stringify(adapters) });
      try {
        const url = worker.url + file;
        const cold = (await get(url, 1 << 20, (1 << 20) + 65536)).first;
        const size = Number((await fetch(url, { method: "HEAD", headers: { "accept-encoding": "identity" } })).headers.get("content-length"));
        // Once to warm V8 up, then the measured pass.
        let bytes = 0;
        let used = 0;
        for (const pass of toy ? [1] : [0, 1]) {
          const before = usageOf(worker.pid).cpu;
          bytes = 0;
          for (let start = 0; start < size; start += STEP) bytes += (await get(url, start, Math.min(size, start + STEP))).bytes;
          used = usageOf(worker.pid).cpu - before;
          if (pass === 1) break;
        }
        const warm = [];
        for (let turn = 0; turn < (toy ? 5 : 60); turn++) {
          const start = 1 + ((turn * 1_234_577) % (size - 65_537));
          warm.push((await get(url, start, start + 65_536)).first);
        }
        return { cpu: (used * 1000) / (bytes / 2 ** 20), cold, warm: median(warm), rss: usageOf(worker.pid).rss };
      } finally {
        await worker.stop();
      }
    };
    const seen = await inTurn({ merged: served([{ source: at(lora), weight: 1 }]), plain: served([{ source: at(lora), weight: 0 }]) }, rounds, { warm: false, say });
    const { merged, plain } = seen;
    const part = "edge";
    return [
      { part, what: "plain base through the worker", figure: plain.cpu, unit: "CPU ms/MiB" },
      { part, what: "merged, r=16", figure: merged.cpu, unit: "CPU ms/MiB", ratio: merged.cpu / plain.cpu, of: "plain" },
      { part, what: "plain, warm: time to the first byte", figure: plain.warm, unit: "ms" },
      { part, what: "merged, warm: time to the first byte", figure: merged.warm, unit: "ms", ratio: merged.warm / plain.warm, of: "plain" },
      { part, what: "plain, cold: time to the first byte", figure: plain.cold, unit: "ms" },
      { part, what: "merged, cold: time to the first byte", figure: merged.cold, unit: "ms", ratio: merged.cold / plain.cold, of: "plain", target: "≤ 2×", ...(!toy && { holds: merged.cold <= 2 * plain.cold }) },
      { part, what: "merged: memory of the whole workerd process", figure: merged.rss, unit: "MiB" },
    ];
  } finally {
    await origin.stop();
  }
}
