// @ts-check
// Merge-on-read in browsers: of files and of servers, and of what `lorafold serve` offers to a page.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { lorafold, start } from "../js/command.mjs";
import { FIXTURES } from "../js/fixture.mjs";
import { sha256 } from "../js/scratch.mjs";
import { browserNames, launch } from "./harness.mjs";
import { serve } from "./serve.mjs";

const SAMPLE = join(FIXTURES, "sample");
const FLAGS = ["--base", join(SAMPLE, "tiny-llama"), "--adapter", `${join(SAMPLE, "storyteller-lora")}@0.8`];

const html = `<!doctype html><meta charset="utf-8"><title>merged</title><link rel="icon" href="data:,">
<script type="module" src="page.mjs"></script>`;

/** What any page can do. */
const ranged = `globalThis.hex = (bytes) => crypto.subtle.digest("SHA-256", bytes).then((hash) => Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join(""));
/** Hashes of a server's files, put together out of ranges. */
globalThis.fetchRanges = async (names) => {
  const found = {};
  for (const name of names) {
    const { headers } = await fetch("/" + name, { method: "HEAD" });
    const size = Number(headers.get("content-length"));
    const parts = [];
    for (let start = 0; start < size; start += 50000) {
      const response = await fetch("/" + name, { headers: { range: "bytes=" + start + "-" + (Math.min(size, start + 50000) - 1), "if-range": headers.get("etag") } });
      if (response.status !== 206) throw new Error(name + ": " + response.status);
      parts.push(await response.blob());
    }
    found[name] = await hex(await new Blob(parts).arrayBuffer());
  }
  return found;
};
`;

const page = `import { openMerged } from "/pkg/browser.js";
${ranged}const files = (folder, names) => Promise.all(names.map(async (name) => new File([await (await fetch("/sample/" + folder + "/" + name)).blob()], name)));

/** Hashes of every file, read whole, streamed, and put together out of ranges that HTTP asks for. */
globalThis.read = async ({ base, adapter }) => {
  const source = (given) => (typeof given === "string" ? given : files(given.folder, given.names));
  const merged = await openMerged({ base: await source(base), adapters: [{ source: await source(adapter), weight: 0.8 }] });
  const found = {};
  for (const { name, size } of merged.files) {
    const parts = [];
    for (let start = 0; start < size; start += 40000) {
      const end = Math.min(size, start + 40000);
      const response = await merged.response(new Request("https://any.example/" + name, { headers: { range: "bytes=" + start + "-" + (end - 1) } }));
      if (response.status !== 206) throw new Error(name + ": " + response.status + " " + await response.text());
      parts.push(await response.blob());
    }
    const streamed = await new Response(merged.stream(name)).arrayBuffer();
    const hashes = await Promise.all([merged.read(name), streamed, new Blob(parts).arrayBuffer()].map(async (bytes) => hex(await bytes)));
    if (new Set(hashes).size !== 1) throw new Error(name + ": " + hashes);
    found[name] = hashes[0];
  }
  merged.close();
  return found;
};

globalThis.ready = true;
`;

/** @type {string} */
let scratch;
/** @type {Record<string, string>} */
let expected;
/** @type {import("./serve.mjs").TestServer} */
let own;
/** @type {import("./serve.mjs").TestServer} */
let elsewhere;

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), "lorafold-merged-"));
  writeFileSync(join(scratch, "index.html"), html);
  writeFileSync(join(scratch, "page.mjs"), page);
  const out = join(scratch, "out");
  const ended = await lorafold(["merge", ...FLAGS, "--out", out, "--quiet"]);
  assert.equal(ended.code, 0, ended.stderr);
  expected = Object.fromEntries(readdirSync(out).map((name) => [name, sha256(readFileSync(join(out, name)))]));
  own = await serve({ "/": scratch, "/pkg/": join(FIXTURES, "..", "..", "pkg"), "/sample/": SAMPLE });
  // As most servers of other origins: the headers about ranges are there, and hidden.
  elsewhere = await serve({ "/": SAMPLE }, { cors: "bare" });
});

after(async () => {
  await own?.close();
  await elsewhere?.close();
  rmSync(scratch, { recursive: true, force: true });
});

for (const name of browserNames) {
  describe(name, () => {
    /** @type {import("./harness.mjs").TestBrowser} */
    let browser;
    before(async () => {
      browser = await launch(name);
    });
    after(() => browser?.close());

    const folder = (/** @type {string} */ folder) => ({ folder, names: readdirSync(join(SAMPLE, folder)) });
    for (const [how, given] of /** @type {[string, () => object][]} */ ([
      ["of files", () => ({ base: folder("tiny-llama"), adapter: folder("storyteller-lora") })],
      ["of another origin's server", () => ({ base: `${elsewhere.origin}/tiny-llama/`, adapter: `${elsewhere.origin}/storyteller-lora/` })],
    ])) {
      test(`a merged model ${how}`, async () => {
        const { page, problems, close } = await browser.open();
        await page.goto(own.origin);
        await page.waitForFunction("globalThis.ready");
        const found = await page.evaluate((/** @type {any} */ options) => /** @type {any} */ (globalThis).read(options), given());
        assert.deepEqual(found, expected);
        // Files that are asked for and are not there are a model's, not ours.
        assert.deepEqual(problems.filter((problem) => !/404/.test(problem)), []);
        await close();
      });
    }

    test("what lorafold serve offers, by ranged requests", async () => {
      const { child, ended } = start(["serve", ...FLAGS, "--port", "0"]);
      const url = await new Promise((resolve, reject) => {
        let said = "";
        child.stdout?.on("data", (text) => {
          said += text;
          // The whole address: what follows it has come, too.
          const [, found] = /(http:\S+)\s/.exec(said) ?? [];
          if (found) resolve(found);
        });
        void ended.then(({ stderr }) => reject(new Error(stderr)));
      });
      const { page: tab, close } = await browser.open();
      await tab.goto(`${url}tokenizer_config.json`);
      await tab.evaluate(ranged);
      const found = await tab.evaluate((/** @type {any} */ names) => /** @type {any} */ (globalThis).fetchRanges(names), Object.keys(expected));
      assert.deepEqual(found, expected);
      await close();
      child.kill("SIGINT");
      assert.equal((await ended).code, 0);
    });
  });
}
