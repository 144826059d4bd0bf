// @ts-check
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { allStages } from "./stages.mjs";
import { findBrowser, lockedBindgenVersion, root, toolPath } from "./tools.mjs";

test("the wasm-bindgen tools are of the version that Cargo.lock fixes", () => {
  assert.match(lockedBindgenVersion(), /^0\.2\.\d+$/);
  assert.match(toolPath("wasm-bindgen"), /wasm-bindgen(\.exe)?$/);
  assert.match(toolPath("wasm-bindgen-test-runner"), /wasm-bindgen-test-runner(\.exe)?$/);
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

test("the lockfile names no host to download from", () => {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  /** @type {[string, { resolved?: string, link?: boolean }][]} */
  const entries = Object.entries(packages);
  // A link to a folder of this checkout says which.
  assert.deepEqual(entries.filter(([, { resolved, link }]) => resolved !== undefined && !link), []);
});

test("stages have distinct names, and every browser has its wasm stage", () => {
  const stages = allStages();
  assert.equal(new Set(stages.map((stage) => stage.name)).size, stages.length);
  for (const group of ["native", "wasm", "wasm-chromium", "wasm-firefox", "browser"]) {
    assert.ok(stages.some((stage) => stage.group === group), `no stage ${group}`);
  }
});
