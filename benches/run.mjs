// @ts-check
// `npm run bench`: makes its models, measures everything and prints one table. No network, no Python.
//   --toy                    tiny models, one round: only shows that it works
//   --only kernel,node,…     only these of kernel, native, methods, combining, node, extract, browser, edge, size
//   --rounds N               of everything that is measured in turn
//   --json FILE              the table's rows, the machine and the versions
// LORAFOLD_BENCH_DIR and LORAFOLD_BENCH_PKG: see model.mjs and package.mjs.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { giveUp } from "../tests/setup/setup.mjs";
import { demandPackage } from "./package.mjs";
import { tableText } from "./table.mjs";

/** @typedef {import("./table.mjs").Row} Row */

const PARTS = ["kernel", "native", "methods", "combining", "node", "extract", "browser", "edge", "size"];

/** @param {string} text */
const say = (text) => console.log(`bench: ${text}`);

function readOptions() {
  const { values } = parseArgs({
    options: { toy: { type: "boolean", default: false }, only: { type: "string" }, rounds: { type: "string" }, json: { type: "string" } },
  });
  const wanted = values.only?.split(",").map((word) => word.trim()) ?? PARTS;
  for (const word of wanted) if (!PARTS.includes(word)) throw new Error(`--only ${word}: there are ${PARTS.join(", ")}`);
  const rounds = values.rounds === undefined ? {} : { rounds: Number(values.rounds) };
  return { toy: values.toy, json: values.json, wanted: new Set(wanted), ...rounds };
}

function machine() {
  const processors = cpus();
  const rustc = execFileSync("rustc", ["--version"], { encoding: "utf8" }).trim();
  return {
    cpu: processors[0].model.trim(), cores: processors.length, memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`, node: process.version, v8: process.versions.v8, rustc,
  };
}

async function main() {
  const { toy, json, wanted, ...rounds } = readOptions();
  await demandPackage({ browsers: wanted.has("browser") });
  /** @type {ReturnType<typeof machine> & { chromium?: string }} */
  const about = machine();
  // Who else is at work decides what the figures are worth.
  const load = loadavg()[0];
  /** @type {Row[]} */
  const rows = [];
  let wasmRates = new Map();
  if (wanted.has("kernel")) {
    const { kernelRows } = await import("./kernel-rows.mjs");
    const kernel = await kernelRows({ toy });
    rows.push(...kernel.rows);
    wasmRates = kernel.rates;
  }
  if (wanted.has("native")) {
    const { nativeRows } = await import("./native.mjs");
    rows.push(...(await nativeRows({ toy, wasmRates })));
  }
  if (wanted.has("methods")) {
    const { methodRows } = await import("./methods.mjs");
    rows.push(...(await methodRows({ toy, say, ...rounds })));
  }
  if (wanted.has("combining")) {
    const { combiningRows } = await import("./combining.mjs");
    rows.push(...(await combiningRows({ toy, say, ...rounds })));
  }
  if (wanted.has("node")) {
    const { nodeRows } = await import("./node.mjs");
    rows.push(...(await nodeRows({ toy, say, ...rounds })));
  }
  if (wanted.has("extract")) {
    const { extractRows } = await import("./extract.mjs");
    rows.push(...(await extractRows({ toy, say, ...rounds })));
  }
  if (wanted.has("browser")) {
    const { browserRows } = await import("./browser.mjs");
    const browser = await browserRows({ toy, say, ...rounds });
    rows.push(...browser.rows);
    about.chromium = browser.version;
  }
  if (wanted.has("edge")) {
    const { edgeRows } = await import("./edge.mjs");
    rows.push(...(await edgeRows({ toy, say, ...rounds })));
  }
  if (wanted.has("size")) {
    const { sizeRows } = await import("./sizes.mjs");
    rows.push(...(await sizeRows()));
  }
  const { cpu, cores, node, chromium } = about;
  console.log(`\n${cpu}, ${cores} cores, Node ${node}${chromium ? `, Chromium ${chromium}` : ""}; load ${load.toFixed(1)} before the first measurement${toy ? "; TOY SIZE" : ""}\n`);
  console.log(tableText(rows));
  if (json) mkdirSync(dirname(json), { recursive: true });
  if (json) writeFileSync(json, `${JSON.stringify({ machine: about, toy, load, rows }, null, 2)}\n`);
}

await main().catch(giveUp);
