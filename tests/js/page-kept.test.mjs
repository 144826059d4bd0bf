// @ts-check
// What the page says that rounding kept: of every element where statistics were on, else by the estimate and its bound.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { build } from "vite";
import { root } from "../setup/tools.mjs";
import { scratch } from "./scratch.mjs";

/** @type {{ keptOf: (tensor: any) => unknown, keptOfAll: (report: any) => any, isLost: (kept: any) => boolean }} */
let kept;

before(async (t) => {
  const folder = await scratch(/** @type {any} */ (t));
  const bundled = /** @type {any} */ (await build({
    configFile: false, logLevel: "silent", root: join(root, "www"),
    build: { write: false, minify: false, lib: { entry: join(root, "www", "src", "kept.ts"), formats: ["es"] } },
  }));
  await writeFile(join(folder, "kept.mjs"), bundled[0].output[0].code);
  kept = await import(pathToFileURL(join(folder, "kept.mjs")).href);
});

test("statistics count before an estimate, and nothing is made up", () => {
  assert.equal(kept.keptOf({ statistics: { signalKept: 0.5 }, signal: { kept: 0.4 } }), 0.5);
  assert.equal(kept.keptOf({ statistics: { signalKept: null } }), null);
  assert.equal(kept.keptOf({ signal: { kept: 0.4 } }), 0.4);
  assert.equal(kept.keptOf({}), undefined);
  assert.equal(kept.keptOfAll({}), undefined);
  assert.deepEqual(kept.keptOfAll({ signal: { kept: 0.4, margin: 0.1, sampled: 0.01 } }), { share: 0.4, margin: 0.1, sampled: 0.01 });
});

test("what may be chance is no warning", () => {
  assert.equal(kept.isLost({ share: 0.85, margin: 0.01 }), true);
  assert.equal(kept.isLost({ share: 0.85, margin: 0.1 }), false);
  assert.equal(kept.isLost({ share: 0.85, margin: null }), false);
  assert.equal(kept.isLost({ share: null, margin: 0 }), false);
});
