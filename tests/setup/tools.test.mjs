// @ts-check
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageFolders } from "./setup.mjs";
import { allStages } from "./stages.mjs";
import { findBrowser, root } from "./tools.mjs";

test("the programs on wasm-bindgen are of the crate's version of it, which their results and the tests' depend on", () => {
  const lock = readFileSync(join(root, "Cargo.lock"), "utf8");
  const versions = ["wasm-bindgen", "wasm-bindgen-shared", "wasm-bindgen-cli-support", "wasm-bindgen-cli"].map((name) =>
    [...lock.matchAll(new RegExp(`^name = "${name}"\r?\nversion = "(.+)"`, "gm"))].map(([, version]) => version));
  assert.match(versions[0]?.[0] ?? "", /^0\.2\.\d+$/);
  assert.equal(new Set(versions.flat()).size, 1, String(versions));
});

test("a browser can be named, and a wrong name finds none", () => {
  try {
    process.env.FIREFOX_BIN = process.execPath;
    assert.equal(findBrowser("firefox"), process.execPath);
    process.env.FIREFOX_BIN = "/nowhere/firefox";
    assert.equal(findBrowser("firefox"), undefined);
  } finally {
    delete process.env.FIREFOX_BIN;
  }
});

test("no lockfile names a host to download from", () => {
  for (const folder of Object.values(packageFolders)) {
    /** @type {{ packages: Record<string, { resolved?: string }> }} */
    const { packages } = JSON.parse(readFileSync(join(root, folder, "package-lock.json"), "utf8"));
    assert.deepEqual(Object.entries(packages).filter(([, { resolved }]) => resolved !== undefined), [], folder);
  }
});

test("building and serving needs no package that only tests need", () => {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const runtimes = Object.keys(packages).filter((name) => /node_modules\/(@cloudflare|@deno|@oven|bun|deno|miniflare|playwright|typedoc|webpack|workerd)/.test(name));
  assert.deepEqual(runtimes, []);
});

test("stages have distinct names, and every browser has its wasm stage", () => {
  const stages = allStages();
  assert.equal(new Set(stages.map((stage) => stage.name)).size, stages.length);
  for (const group of ["native", "wasm", "wasm-chromium", "wasm-firefox", "browser"]) {
    assert.ok(stages.some((stage) => stage.group === group), `no stage ${group}`);
  }
});
