// @ts-check
// What the page lets one download, and what the command line writes for the same inputs.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "../setup/tools.mjs";
import { at, type } from "./page-use.mjs";

/** @typedef {import("./harness.mjs").TestPage} TestPage */
/** @typedef {{ path: string, weight?: number, density?: number, more?: string[] }} Adapter `more`: flags of the command line behind it */

const sha256 = (/** @type {Uint8Array} */ bytes) => createHash("sha256").update(bytes).digest("hex");

/**
 * What the command line makes of the same inputs: the hash of every file.
 * @param {string} scratch
 * @param {string} base
 * @param {Adapter[]} adapters
 * @param {string[]} [more]
 * @returns {Promise<Record<string, string>>}
 */
export async function byCommandLine(scratch, base, adapters, more = []) {
  const out = await mergedFolder(scratch, base, adapters, more);
  const names = (await readdir(out)).sort();
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, sha256(await readFile(join(out, name)))])));
}

/**
 * A folder with what the command line makes of them.
 * @param {string} scratch
 * @param {string} base
 * @param {Adapter[]} adapters
 * @param {string[]} [more]
 */
export async function mergedFolder(scratch, base, adapters, more = []) {
  const out = join(await mkdtemp(join(scratch, "cli-")), "merged");
  const flags = adapters.flatMap(({ path, weight = 1, density, more = [] }) => ["--adapter", `${path}@${weight}${density === undefined ? "" : `:density=${density}`}`, ...more]);
  const args = [join(root, "pkg", "cli.js"), "merge", "--base", base, ...flags, "--out", out, "--quiet", ...more];
  await promisify(execFile)(process.execPath, args);
  return out;
}

/**
 * The hash of every file that the result offers, each downloaded by its link.
 * @param {TestPage} tab
 */
export async function downloadAll({ page, download }) {
  /** @type {Record<string, string>} */
  const hashes = {};
  for (const row of await page.locator(at("result-file")).all()) {
    const name = (await row.getAttribute("data-name")) ?? "";
    const link = row.getByRole("link");
    // Not the name it is saved under: there may be one from an earlier test.
    assert.equal(await link.getAttribute("download"), name);
    hashes[name] = sha256((await download(() => link.click())).bytes);
  }
  return hashes;
}

/**
 * @param {TestPage} tab
 * @param {string} base
 * @param {Adapter[]} adapters
 */
export async function choose({ page, setFolder }, base, adapters) {
  await setFolder(at("base-folder"), base);
  for (const { path, weight = 1 } of adapters) {
    await setFolder(at("adapter-folder"), path);
    await type(page.locator(at("adapter-weight")).last(), String(weight));
  }
}
