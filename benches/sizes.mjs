// @ts-check
// What a page must load: the wasm, and the JavaScript as a bundler makes it of the browser entry.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { browserBundle, loadedCode } from "../pkg-templates/loaded.mjs";
import { packageFolder } from "./package.mjs";

/** @typedef {import("./table.mjs").Row} Row */

/** @param {string | Uint8Array} bytes */
const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length / 1000;

/** @returns {Promise<Row[]>} */
export async function sizeRows() {
  const output = await browserBundle(packageFolder);
  const entry = gzipped(loadedCode(output));
  // The worker is a bundle of its own, with its own copy of what both need.
  const worker = output.reduce((sum, file) => sum + (file.type === "asset" && file.fileName.endsWith(".js") ? gzipped(file.source ?? "") : 0), 0);
  const [wasm, rest] = /** @type {[number, number]} */ (["bg", "rest"].map((half) => gzipped(readFileSync(join(packageFolder, `lorafold_${half}.wasm`)))));
  const part = "start-up";
  return [
    { part, what: "wasm, gzipped", figure: wasm, unit: "kB", target: "≤ 300 kB", holds: wasm <= 300 },
    { part, what: "wasm of rare methods, loaded when needed, gzipped", figure: rest, unit: "kB" },
    { part, what: "browser entry, bundled, gzipped", figure: entry, unit: "kB", target: "≤ 25 kB", holds: entry <= 25 },
    { part, what: "worker script, bundled, gzipped", figure: worker, unit: "kB" },
  ];
}
