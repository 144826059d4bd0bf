// @ts-check
// Every case that PEFT made, natively, in Node and in real browsers: the same bytes of every file.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { merge } from "../../pkg/node.js";
import { adapterOptions, CASES, fixture, FIXTURES } from "../js/fixture.mjs";
import { hashes, snapshot } from "../js/scratch.mjs";
import { browserNames, launch } from "./harness.mjs";
import { serve } from "./serve.mjs";

/** @typedef {Record<string, string>} Sums sha256 by file name */

const root = fileURLToPath(new URL("../..", import.meta.url));

/** @type {string} */
let scratch;
/** @type {import("./serve.mjs").TestServer} */
let server;
/** What the crate makes of each case. @type {Record<string, Sums>} */
const native = {};

/** The crate's example, built: where cargo put it. */
function example() {
  const args = ["build", "--quiet", "--example", "merge", "--message-format=json"];
  const messages = execFileSync("cargo", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  const made = messages.trim().split("\n").map((line) => JSON.parse(line)).find(({ executable }) => executable);
  return /** @type {string} */ (made.executable);
}

/** @param {Record<string, Sums>} found */
function same(found) {
  for (const name of CASES) assert.deepEqual(found[name], native[name], name);
}

const page = `import { merge } from "/pkg/browser.js";
async function files({ path, names }) {
  return Promise.all(names.map(async (name) => new File([await (await fetch("/fixtures/" + path + "/" + name)).blob()], name)));
}
async function sha256(blob) {
  const hash = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
async function sums({ base, adapters }) {
  const given = adapters.map(async (adapter) => ({ source: await files(adapter), weight: adapter.weight }));
  const { files: made } = await merge({ base: await files(base), adapters: await Promise.all(given), workers: 0 });
  return Object.fromEntries(await Promise.all(made.map(async (file) => [file.name, await sha256(await file.blob())])));
}
globalThis.run = async (cases) => {
  const found = {};
  for (const [name, made] of Object.entries(cases)) found[name] = await sums(made).catch((error) => String(error));
  return found;
};
globalThis.ready = true;`;

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), "lorafold-identity-"));
  writeFileSync(join(scratch, "index.html"), '<!doctype html><title>identity</title><link rel="icon" href="data:,"><script type="module" src="page.mjs"></script>');
  writeFileSync(join(scratch, "page.mjs"), page);
  server = await serve({ "/": scratch, "/pkg/": join(root, "pkg"), "/fixtures/": FIXTURES });
  const program = example();
  for (const name of CASES) {
    const { base, adapters } = fixture(name);
    const out = join(scratch, "native", name);
    execFileSync(program, [base, ...adapters.map(({ path, weight }) => `${path}@${weight}`), out], { stdio: ["ignore", "ignore", "pipe"] });
    native[name] = await snapshot(out);
  }
});

after(async () => {
  await server?.close();
  rmSync(scratch, { recursive: true, force: true });
});

test("the crate has merged every case, each into files of its own", () => {
  assert.ok(CASES.length > 40, `${CASES.length} cases`);
  const weights = CASES.map((name) => Object.entries(native[name]).filter(([file]) => file.endsWith(".safetensors")));
  assert.ok(weights.every((files) => files.length > 0));
});

test("in Node", async () => {
  /** @type {Record<string, Sums>} */
  const found = {};
  for (const name of CASES) {
    const made = fixture(name);
    found[name] = await hashes(await merge({ base: made.base, adapters: adapterOptions(made), workers: 0 }));
  }
  same(found);
});

for (const browserName of browserNames) {
  test(`in ${browserName}`, async (t) => {
    const browser = await launch(browserName);
    t.after(browser.close);
    const { page, problems } = await browser.open();
    await page.goto(server.origin);
    await page.waitForFunction("globalThis.ready === true");
    /** @param {string} name @param {string} path */
    const folder = (name, path) => ({ path: `${name}/${basename(path)}`, names: readdirSync(path) });
    const cases = Object.fromEntries(CASES.map((name) => {
      const { base, adapters } = fixture(name);
      return [name, { base: folder(name, base), adapters: adapters.map(({ path, weight }) => ({ ...folder(name, path), weight })) }];
    }));
    same(/** @type {Record<string, Sums>} */ (await page.evaluate(`run(${JSON.stringify(cases)})`)));
    assert.deepEqual(problems, []);
  });
}
