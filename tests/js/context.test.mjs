// @ts-check
// Contexts: what one entry point is set up with changes nothing for another.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { createApi } from "../../pkg/api.js";
import { createContext } from "../../pkg/context.js";
import { initialize, plan as planAtEdge } from "../../pkg/edge.js";
import { nodePlatform } from "../../pkg/node/context.js";
import { plan } from "../../pkg/node.js";
import { scratch, writeFolder } from "./scratch.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const wasm = new URL("../../pkg/lorafold_bg.wasm", import.meta.url);

test("Node reads paths still when a library has initialized the edge's entry point", async (t) => {
  const folder = await scratch(t);
  const { base, adapter } = tinyModel();
  await writeFolder(folder, base);
  await initialize(await readFile(wasm));
  const options = { base: folder, adapters: [asFiles(adapter)] };
  assert.equal((await plan(options)).merged, 2);
  await assert.rejects(planAtEdge(options), { code: "bad-option", message: /not a URL/ });
});

test("WebAssembly that could not be loaded is loaded by the next call, and once", async () => {
  const { base, adapter } = tinyModel();
  const options = { base: asFiles(base), adapters: [asFiles(adapter)] };
  let loads = 0;
  const context = createContext({
    ...nodePlatform,
    loadWasm: async () => {
      if (loads++ === 0) throw new Error("no connection");
      return nodePlatform.loadWasm();
    },
  });
  const api = createApi(() => context);
  await assert.rejects(api.plan(options), /no connection/);
  for (const report of await Promise.all([api.plan(options), api.plan(options)])) assert.equal(report.merged, 2);
  assert.equal(loads, 2);
});
