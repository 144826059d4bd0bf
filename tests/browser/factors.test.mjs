// @ts-check
// `combine` and `extract` in real browsers, by workers and without: the bytes of the native library, whose hashes tests/factors.rs and tests/combined.rs assert.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { FIXTURES } from "../js/fixture.mjs";
import { browserNames, launch } from "./harness.mjs";
import { serve } from "./serve.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** @param {string} name */
const json = (name) => JSON.parse(readFileSync(join(FIXTURES, name), "utf8"));
/** The hashes of values, and those of values and configuration. */
const [made, combined] = [json("factors-hashes.json"), json("combined.json")];
const { cases } = json("factors/cases.json");

/** A folder under FIXTURES as the page fetches it. @param {string} path */
const folder = (path) => ({ path, names: readdirSync(join(FIXTURES, path)) });

/** One of each kind of factors that `combine` makes. */
const KINDS = ["loha-two", "lokr-conv-factors", "vera", "lora-bias", "experts-two", "dora-f32"];

const page = `import { combine, extract } from "/pkg/browser.js";
const files = ({ path, names }) => Promise.all(names.map(async (name) => new File([await (await fetch("/fixtures/" + path + "/" + name)).blob()], name)));
async function sha256(...parts) {
  const hash = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
async function sums({ files: [config, weights] }) {
  const [text, bytes] = [await (await config.blob()).arrayBuffer(), await (await weights.blob()).arrayBuffer()];
  // The header names the version.
  const values = bytes.slice(8 + Number(new DataView(bytes).getBigUint64(0, true)));
  return { values: await sha256(values), all: await sha256(values, text) };
}
globalThis.run = async (jobs, workers) => {
  const found = {};
  for (const [name, { adapters, base, tuned, options }] of Object.entries(jobs)) {
    const given = base === undefined ? {} : { base: await files(base) };
    const sources = adapters?.map(async (adapter) => ({ source: await files(adapter), weight: adapter.weight }));
    const made = tuned ? extract({ ...given, tuned: await files(tuned), ...options, workers }) : combine({ ...given, adapters: await Promise.all(sources), ...options, workers });
    found[name] = await made.then(sums).catch((error) => String(error));
  }
  return found;
};
globalThis.ready = true;`;

/** @typedef {{ adapters?: object[], base?: object, tuned?: object, options: object }} Job */

/** @type {Record<string, Job>} */
const jobs = {};
// The models of "extract-wide" are made of numbers in tests/js/factors.test.mjs, which compares its hash.
for (const name of Object.keys(made).filter((name) => name !== "extract-wide")) {
  const known = cases[name];
  jobs[name] = known
    ? { adapters: known.adapters.map((/** @type {{ path: string }} */ adapter) => ({ ...adapter, ...folder(`factors/${adapter.path}`) })), options: { method: known.method, ...known.options } }
    : { base: folder("factors/base"), tuned: folder("factors/tuned"), options: { rank: 4 } };
}
for (const name of KINDS) {
  const { base, adapters } = json(`${name}/case.json`);
  jobs[`as-lora/${name}`] = {
    adapters: adapters.map((/** @type {{ path: string, weight: number }} */ { path, weight }) => ({ weight, ...folder(`${name}/${path}`) })),
    ...(combined[name].base && { base: folder(`${name}/${base}`) }),
    options: { method: "cat" },
  };
}

/** @type {string} */
let scratch;
/** @type {import("./serve.mjs").TestServer} */
let server;

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), "lorafold-factors-"));
  writeFileSync(join(scratch, "index.html"), '<!doctype html><title>factors</title><link rel="icon" href="data:,"><script type="module" src="page.mjs"></script>');
  writeFileSync(join(scratch, "page.mjs"), page);
  server = await serve({ "/": scratch, "/pkg/": join(root, "pkg"), "/fixtures/": FIXTURES });
});

after(async () => {
  await server?.close();
  rmSync(scratch, { recursive: true, force: true });
});

for (const browserName of browserNames) {
  test(`in ${browserName}`, async (t) => {
    const browser = await launch(browserName);
    t.after(browser.close);
    const { page, problems } = await browser.open();
    await page.goto(server.origin);
    await page.waitForFunction("globalThis.ready === true");
    for (const workers of [0, 2]) {
      const found = /** @type {Record<string, { values: string, all: string }>} */ (await page.evaluate(`run(${JSON.stringify(jobs)}, ${workers})`));
      for (const [job, { values, all }] of Object.entries(found)) {
        const kind = job.replace("as-lora/", "");
        const same = job === kind ? values === made[job] : all === combined[kind].sha256;
        assert.ok(same, `${job} by ${workers} workers: ${JSON.stringify(found[job])}`);
      }
      assert.deepEqual(Object.keys(found), Object.keys(jobs));
    }
    assert.deepEqual(problems, []);
  });
}
