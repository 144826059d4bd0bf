// @ts-check
// Chromium: File → Blob and File → private file system, against copying the same Files to the same sinks in the same page.
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "../tests/browser/harness.mjs";
import { serve } from "../tests/browser/serve.mjs";
import { findBrowser } from "../tests/setup/tools.mjs";
import { adapter, baseBytes, baseModel, freeBytes, LLAMA_1B, mergedBytes, TOY, workFolder } from "./model.mjs";
import { packageFolder } from "./package.mjs";
import { inTurn, median } from "./timing.mjs";

/** @typedef {import("./table.mjs").Row} Row */

/**
 * A profile on disk: private windows, which test harnesses open, keep Blobs and the private file system in memory.
 * @param {string} profile
 */
function openBrowser(profile) {
  const executablePath = findBrowser("chromium");
  if (!executablePath) throw new Error("Chromium is not installed: run `node tests/setup/setup.mjs --browsers`.");
  const args = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage", "--js-flags=--expose-gc",
  ];
  return chromium.launchPersistentContext(profile, { executablePath, args, timeout: 60_000 });
}

/** @param {string} folder */
const filesIn = (folder) => readdirSync(folder).map((name) => join(folder, name));

/** @param {{ toy: boolean, rounds?: number, say: (text: string) => void }} options @returns {Promise<{ rows: Row[], version: string }>} */
export async function browserRows({ toy, rounds = toy ? 1 : 3, say }) {
  const shape = toy ? TOY : LLAMA_1B;
  const [base, lora] = [baseModel(shape), adapter(shape, 16)];
  if (freeBytes() < 3 * baseBytes(shape)) throw new Error(`${workFolder} has too little room`);
  const profile = join(workFolder, "chromium");
  rmSync(profile, { recursive: true, force: true });
  mkdirSync(profile, { recursive: true });
  const server = await serve({ "/": fileURLToPath(new URL("browser", import.meta.url)), "/pkg/": packageFolder });
  const context = await openBrowser(profile);
  try {
    const version = context.browser()?.version() ?? "";
    const page = context.pages()[0] ?? (await context.newPage());
    page.on("pageerror", (error) => say(`page: ${error.message}`));
    await page.goto(server.origin);
    await page.waitForFunction("globalThis.bench !== undefined");
    await page.setInputFiles("#base", filesIn(base));
    await page.setInputFiles("#adapter", filesIn(lora));
    /** @param {string} call @returns {() => Promise<{ ms: number }>} */
    const run = (call) => async () => {
      await page.evaluate("bench.forget()");
      const ms = Number(await page.evaluate(`bench.${call}`));
      return { ms };
    };
    const runs = {
      "Blob: merge": run('merge("blob")'),
      "Blob: copy, 1 slice at once": run("copyToBlobs(false, 1)"),
      "Blob: copy, 4 slices at once": run("copyToBlobs(false, 4)"),
      "Blob: copy of all bytes": run("copyToBlobs(true, 4)"),
      "OPFS: merge": run('merge("opfs")'),
      "OPFS: copy by streams": run("copyByStreams()"),
      "OPFS: copy by 1 worker's handles": run("copyByHandles(1)"),
      "OPFS: copy by 2 workers' handles": run("copyByHandles(2)"),
    };
    const seen = await inTurn(runs, rounds, { warm: !toy, say });
    const rows = [...sinkRows("Blob", seen, shape, toy), ...sinkRows("OPFS", seen, shape, toy)];
    rows.push(...(await startRows(page, toy)));
    return { rows, version };
  } finally {
    await context.close();
    await server.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/**
 * Every way of copying, and the merge beside the plain one, which a page would write first, and beside the fastest.
 * @param {"Blob" | "OPFS"} sink @param {Record<string, { ms: number }>} seen @param {import("./model.mjs").Shape} shape @param {boolean} toy
 * @returns {Row[]}
 */
function sinkRows(sink, seen, shape, toy) {
  const part = "browser";
  // The copy of all bytes does more than a merge into Blobs does: it is shown, and not compared with.
  const copies = Object.entries(seen).filter(([name]) => name.startsWith(`${sink}: copy`));
  const fastest = Math.min(...copies.filter(([name]) => !name.includes("all bytes")).map(([, { ms }]) => ms));
  const plain = seen[sink === "Blob" ? "Blob: copy, 1 slice at once" : "OPFS: copy by streams"].ms;
  const { ms } = seen[`${sink}: merge`];
  const bytes = sink === "Blob" ? mergedBytes(shape) : baseBytes(shape);
  return [
    ...copies.map(([name, copy]) => ({ part, what: `File → ${name}`, figure: copy.ms / 1000, unit: "s" })),
    ...Object.entries({ "the plain copy": plain, "the fastest copy": fastest }).map(([of, copy]) => ({
      part, what: `File → ${sink}: merge, r=16 (${(bytes / ms / 1e6).toFixed(2)} GB/s)`, figure: ms / 1000, unit: "s", ratio: ms / copy, of, target: "≤ 1.15×", ...(!toy && { holds: ms / copy <= 1.15 }),
    })),
  ];
}

/** @param {import("../tests/browser/harness.mjs").TestPage["page"]} page @param {boolean} toy @returns {Promise<Row[]>} */
async function startRows(page, toy) {
  const part = "start-up";
  const { compiled, instantiated } = /** @type {any} */ (await page.evaluate("bench.instantiate()"));
  const whole = median(compiled);
  const first = [];
  for (let turn = 0; turn < 5; turn++) first.push(Number(await page.evaluate("bench.firstByte()")));
  return [
    { part, what: "Chromium: compile and instantiate", figure: whole, unit: "ms", target: "< 15 ms", ...(!toy && { holds: whole < 15 }) },
    { part, what: "Chromium: instantiate, compiled", figure: median(instantiated), unit: "ms" },
    { part, what: "Chromium: merge() to the first byte", figure: median(first), unit: "ms" },
  ];
}
