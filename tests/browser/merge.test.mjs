// @ts-check
// The package in real browsers: whatever the sources and the output, the bytes are the command line's.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { browserNames, launch } from "./harness.mjs";
import { serve } from "./serve.mjs";

const root = resolve(import.meta.dirname ?? ".", "../..");
const fixtures = join(root, "tests", "fixtures");
/** Bases of every type, shards, Conv1D, several adapters, sizes that fit no vector, DoRA, files of torch. */
const CASES = [
  "dtype-f32", "dtype-f16", "dtype-bf16", "dtype-f64", "gpt2", "three-adapters", "sharded", "odd-sizes", "passthrough", "rslora",
  "dora-linear", "dora-and-lora-gpt2", "dora-f64", "torch-sharded", "torch-passthrough",
];

/** @type {string} */
let scratch;
/** @type {import("./serve.mjs").TestServer} */
let server;
/** @type {import("./serve.mjs").TestServer} */
let plain;

/** @param {string} name */
const spec = (name) => JSON.parse(readFileSync(join(fixtures, name, name.startsWith("torch-") ? "torch.json" : "case.json"), "utf8"));

/** @type {Map<string, Record<string, string>>} */
const made = new Map();

/** What the command line makes of a case: sha256 by file name. @param {string} name @param {string[]} flags */
function expected(name, ...flags) {
  const key = name + flags.join("");
  if (!made.has(key)) made.set(key, byCommandLine(name, flags));
  return made.get(key);
}

/** @param {string} name @param {string[]} flags */
function byCommandLine(name, flags) {
  const { base, adapters } = spec(name);
  const out = join(scratch, name + flags.join(""));
  const given = adapters.flatMap((/** @type {any} */ a) => ["--adapter", `${join(fixtures, name, a.path)}@${a.weight}`]);
  const args = ["merge", "--base", join(fixtures, name, base), ...given, "--out", out, "--quiet", ...flags];
  execFileSync(process.execPath, [join(root, "pkg", "cli.js"), ...args], { stdio: "pipe" });
  return Object.fromEntries(
    readdirSync(out).sort().map((file) => [file, createHash("sha256").update(readFileSync(join(out, file))).digest("hex")]),
  );
}

/** The request that the page below understands. @param {string} name */
function request(name) {
  const { base, adapters } = spec(name);
  const folder = (/** @type {string} */ path) => ({ path: `${name}/${path}`, files: readdirSync(join(fixtures, name, path)) });
  return {
    base: folder(base),
    adapters: adapters.map((/** @type {any} */ a) => ({ ...folder(a.path), weight: a.weight })),
  };
}

const html = `<!doctype html><meta charset="utf-8"><title>merge</title><link rel="icon" href="/icon.svg">
<meta http-equiv="Content-Security-Policy" content="default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src *">
<script type="module" src="page.mjs"></script>`;

const page = `import { merge, LorafoldError } from "/pkg/browser.js";
const started = [];
const NativeWorker = globalThis.Worker;
globalThis.Worker = class extends NativeWorker {
  constructor(...args) { super(...args); started.push(this); this.alive = true; }
  terminate() { this.alive = false; super.terminate(); }
};
globalThis.aliveWorkers = () => started.filter((worker) => worker.alive).length;

async function files({ path, files }) {
  return Promise.all(files.map(async (name) => new File([await (await fetch("/fixtures/" + path + "/" + name)).blob()], name)));
}
const kinds = {
  files,
  url: ({ path }) => new URL("/fixtures/" + path + "/", location.href).href,
  plain: ({ path }) => globalThis.plainOrigin + "/fixtures/" + path + "/",
  async custom(folder) {
    const byName = new Map((await files(folder)).map((file) => [file.name, file]));
    return {
      list: async () => [...byName.values()].map(({ name, size }) => ({ name, size })),
      read: async (name, start, end) => new Uint8Array(await byName.get(name).slice(start, end).arrayBuffer()),
    };
  },
};
async function sha256(blob) {
  const hash = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
globalThis.run = async (kind, { base, adapters }, options) => {
  const source = kinds[kind];
  try {
    const { files, report } = await merge({
      base: await source(base),
      adapters: await Promise.all(adapters.map(async (a) => ({ source: await source(a), weight: a.weight }))),
      ...options,
    });
    const sums = {};
    for (const file of files) sums[file.name] = await sha256(await file.blob());
    return { sums, merged: report.merged, alive: aliveWorkers() };
  } catch (error) {
    return { error: error.message, code: error.code, ours: error instanceof LorafoldError, alive: aliveWorkers() };
  }
};
// A source that never ends: every read gives zeros, slowly.
globalThis.abortSoon = async ({ adapters, base }, options = {}) => {
  const stop = new AbortController();
  const real = await kinds.custom(base);
  const slow = { ...real, read: async (name, start, end) => {
    if (name.endsWith(".safetensors") && start > 4096) await new Promise((go) => setTimeout(go, 60_000));
    return real.read(name, start, end);
  } };
  let reached;
  const running = new Promise((go) => { reached = go; });
  const merged = merge({ base: slow, adapters: [await kinds.files(adapters[0])], signal: stop.signal, onProgress: () => reached(), ...options });
  await running;
  const before = { alive: aliveWorkers(), at: performance.now() };
  stop.abort();
  const code = await merged.then(() => "done", (error) => error.code);
  const took = performance.now() - before.at;
  return { code, before: before.alive, after: aliveWorkers(), took };
};
// Models in the private file system; 0 as soon as there are none. An aborted merge tidies up when its workers give up their locks.
globalThis.modelsKept = async () => {
  const storage = await (await navigator.storage.getDirectory()).getDirectoryHandle("lorafold", { create: true });
  let kept = 0;
  for (let tries = 0; tries < 100; tries++) {
    kept = 0;
    for await (const _ of storage.keys()) kept++;
    if (kept === 0) break;
    await new Promise((go) => setTimeout(go, 50));
  }
  return kept;
};
globalThis.ready = true;`;

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), "lorafold-browser-"));
  writeFileSync(join(scratch, "index.html"), html);
  writeFileSync(join(scratch, "page.mjs"), page);
  writeFileSync(join(scratch, "icon.svg"), '<svg xmlns="http://www.w3.org/2000/svg"/>');
  const folders = { "/": scratch, "/pkg/": join(root, "pkg"), "/fixtures/": fixtures };
  server = await serve(folders);
  plain = await serve(folders, { ranges: false, cors: "exposed" });
});

after(async () => {
  await server?.close();
  await plain?.close();
  rmSync(scratch, { recursive: true, force: true });
});

for (const name of browserNames) {
  describe(name, () => {
    /** @type {import("./harness.mjs").TestBrowser} */
    let browser;
    /** @type {import("./harness.mjs").TestPage} */
    let tab;

    before(async () => {
      browser = await launch(name);
      tab = await browser.open();
      await tab.page.goto(server.origin);
      await tab.page.waitForFunction("globalThis.ready === true");
      await tab.page.evaluate(`globalThis.plainOrigin = ${JSON.stringify(plain.origin)}`);
    });
    after(async () => {
      await tab?.close();
      await browser?.close();
    });

    /** @param {string} kind @param {string} fixture @param {object} options @returns {Promise<any>} */
    const run = (kind, fixture, options = {}) =>
      tab.page.evaluate(`run(${JSON.stringify(kind)}, ${JSON.stringify(request(fixture))}, ${JSON.stringify(options)})`);

    for (const fixture of CASES) {
      test(`${fixture} from files`, async () => {
        const { sums, alive, error } = await run("files", fixture);
        assert.equal(error, undefined);
        assert.deepEqual(sums, expected(fixture));
        assert.equal(alive, 0, "workers are left");
      });
    }

    test("from URLs with ranges: only ranges are asked for", async () => {
      server.requests.length = 0;
      const { sums, error } = await run("url", "sharded");
      assert.equal(error, undefined);
      assert.deepEqual(sums, expected("sharded"));
      const weights = server.requests.filter(({ path }) => path.endsWith(".safetensors"));
      assert.ok(weights.length > 0);
      assert.deepEqual(weights.filter(({ range, status }) => range === undefined || ![206, 304, 404].includes(status)), []);
    });

    test("from URLs without ranges: in one pass", async () => {
      plain.requests.length = 0;
      const { sums, error } = await run("plain", "dtype-bf16");
      assert.equal(error, undefined);
      assert.deepEqual(sums, expected("dtype-bf16"));
      const base = plain.requests.filter(({ path }) => path.endsWith("/model.safetensors"));
      // The look at its length, the plan's look at its header, the pass.
      assert.equal(base.length, 3);
    });

    test("from a source of the caller's, in workers and without", async () => {
      for (const workers of [0, 2]) {
        const { sums, error } = await run("custom", "two-adapters", { workers });
        assert.equal(error, undefined);
        assert.deepEqual(sums, expected("two-adapters"));
      }
    });

    test("into the private file system", async () => {
      const { sums, error } = await run("files", "sharded", { output: "opfs" });
      assert.equal(error, undefined);
      assert.deepEqual(sums, expected("sharded"));
    });

    test("another type, other shards, a small budget", async () => {
      const options = { dtype: "float32", maxShardSize: 20_000, memoryBudget: 10_000_000, workers: 3 };
      const { sums, error } = await run("files", "rslora", options);
      assert.equal(error, undefined);
      assert.deepEqual(sums, expected("rslora", "--dtype", "f32", "--max-shard-size", "20kB"));
    });

    test("an error has its code and leaves no worker", async () => {
      const result = await run("files", "rslora", { only: "nothing of that name" });
      assert.deepEqual([result.code, result.ours, result.alive], ["bad-option", true, 0]);
    });

    test("an abort ends the workers", async () => {
      const result = /** @type {any} */ (await tab.page.evaluate(`abortSoon(${JSON.stringify(request("sharded"))})`));
      assert.equal(result.code, "aborted");
      assert.ok(result.before > 0, "no worker was running");
      assert.equal(result.after, 0);
    });

    test("an abort leaves nothing in the private file system", async () => {
      // Several times: the locks of a worker that ends are sometimes held for a moment more.
      await tab.page.evaluate("navigator.storage.getDirectory().then((root) => root.removeEntry('lorafold', { recursive: true }).catch(() => {}))");
      for (let i = 0; i < 5; i++) {
        const result = /** @type {any} */ (await tab.page.evaluate(`abortSoon(${JSON.stringify(request("sharded"))}, { output: "opfs" })`));
        assert.deepEqual([result.code, result.after, await tab.page.evaluate("modelsKept()")], ["aborted", 0, 0]);
      }
    });

    test("nothing was complained of", () => {
      assert.deepEqual(tab.problems.filter((problem) => !/404/.test(problem)), []);
    });
  });
}
