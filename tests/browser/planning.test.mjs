// @ts-check
// Planning on a page: a worker does it, so that the page goes on handling events, and an abort is heard in the middle.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { buildSafetensors } from "../js/safetensors-file.mjs";
import { root } from "../setup/tools.mjs";
import { browserNames, launch } from "./harness.mjs";
import { serve } from "./serve.mjs";

const SAMPLE = join(root, "tests", "fixtures", "sample");

/** Modules, each with as many patterns, all of which backtrack: a second of matching, which ends with `limit-exceeded`. */
const COUNT = 200;
const module = (/** @type {number} */ number) => `m${number}.${"a".repeat(16)}`;
const numbers = Array.from({ length: COUNT }, (_, number) => number);
const tensor = { dtype: "F32", shape: [1, 1], values: [1] };
const HOSTILE = {
  base: {
    "config.json": '{"model_type":"llama"}',
    "model.safetensors": buildSafetensors(Object.fromEntries(numbers.map((number) => [`${module(number)}.weight`, tensor]))),
  },
  adapter: {
    "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1, alpha_pattern: Object.fromEntries(numbers.map((number) => [`(?:a|a)*c|${number}`, 1])) }),
    "adapter_model.safetensors": buildSafetensors(Object.fromEntries(numbers.flatMap((number) => ["A", "B"].map((half) => [`base_model.model.${module(number)}.lora_${half}.weight`, tensor])))),
  },
};

const html = `<!doctype html><meta charset="utf-8"><title>planning</title><link rel="icon" href="data:,"><script type="module" src="page.mjs"></script>`;

const page = `import { merge, openMerged, plan, LorafoldError } from "/pkg/browser.js";
import { Plan } from "/pkg/lorafold.js";
const started = [];
const NativeWorker = globalThis.Worker;
globalThis.Worker = class extends NativeWorker {
  constructor(...args) { super(...args); started.push(this); this.alive = true; }
  terminate() { this.alive = false; super.terminate(); }
};
globalThis.aliveWorkers = () => started.filter((worker) => worker.alive).length;

const files = (folder, names) => Promise.all(names.map(async (name) => new File([await (await fetch("/" + folder + "/" + name)).blob()], name)));
/** A source that calls \`onRead\` when it has answered. */
const custom = (files, onRead) => {
  const byName = new Map(files.map((file) => [file.name, file]));
  return {
    list: async () => files.map(({ name, size }) => ({ name, size })),
    read: async (name, start, end) => {
      const bytes = new Uint8Array(await byName.get(name).slice(start, end).arrayBuffer());
      onRead();
      return bytes;
    },
  };
};
const names = { base: ["config.json", "model.safetensors"], adapter: ["adapter_config.json", "adapter_model.safetensors"] };

/** Events that the page handles, one after the other, until it is told to stop. \`onTurn\` is called with each. */
function countTurns(onTurn) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    onTurn();
    port2.postMessage(0);
  };
  port2.postMessage(0);
  return () => port1.close();
}

/** What becomes of hostile patterns, and the events handled after the last byte was read: what follows is matching alone. */
globalThis.hostile = async (call, kind, abortAfter) => {
  let turns = 0;
  const stop = new AbortController();
  const end = countTurns(() => {
    if (++turns === abortAfter && aliveWorkers() > 0) stop.abort();
  });
  const mark = () => (turns = 0);
  const source = async (folder) => {
    const all = await files("hostile/" + folder, names[folder]);
    return kind === "files" ? all : custom(all, mark);
  };
  try {
    const [base, adapter] = [await source("base"), await source("adapter")];
    mark();
    await { plan, merge, openMerged }[call]({ base, adapters: [adapter], signal: stop.signal });
    return { code: "done" };
  } catch (error) {
    return { code: error.code, ours: error instanceof LorafoldError, field: error.facts?.field, turns, alive: aliveWorkers() };
  } finally {
    end();
  }
};

/** The report of the sample, however its plan is made. */
globalThis.report = async (given, options = {}) => {
  const [base, adapter] = [await files("sample/tiny-llama", given.base), await files("sample/storyteller-lora", given.adapter)];
  const before = started.length;
  const report = await plan({ base, adapters: [{ source: adapter, weight: 0.5 }], onProgress: () => 0, ...options });
  return { report: JSON.stringify(report), started: started.length - before, alive: aliveWorkers() };
};
/** The entity tags of the sample's files with workers and without, and how often this thread computed them. */
globalThis.tags = async (given) => {
  const [base, adapter] = [await files("sample/tiny-llama", given.base), await files("sample/storyteller-lora", given.adapter)];
  const { etags } = Plan.prototype;
  const { Worker } = globalThis;
  let here = 0;
  Plan.prototype.etags = function () {
    here++;
    return etags.call(this);
  };
  const opened = async () => {
    here = 0;
    const model = await openMerged({ base, adapters: [adapter] });
    return { etags: model.files.map(({ name, etag }) => [name, etag]), here };
  };
  try {
    const there = await opened();
    globalThis.Worker = undefined;
    return [there, await opened()];
  } finally {
    Plan.prototype.etags = etags;
    globalThis.Worker = Worker;
  }
};
/** What a wrong option is called. */
globalThis.wrong = (given) => report(given, { only: () => 0 }).then(() => "done", (error) => error.code);
globalThis.ready = true;`;

const sample = { base: readdirSync(join(SAMPLE, "tiny-llama")), adapter: readdirSync(join(SAMPLE, "storyteller-lora")) };

/** @type {string} */
let scratch;
/** @type {string} */
let hostile;
/** @type {import("./serve.mjs").TestServer} */
let server;

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), "lorafold-planning-"));
  hostile = mkdtempSync(join(tmpdir(), "lorafold-hostile-"));
  writeFileSync(join(scratch, "index.html"), html);
  writeFileSync(join(scratch, "page.mjs"), page);
  for (const [folder, files] of Object.entries(HOSTILE)) {
    mkdirSync(join(hostile, folder));
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(hostile, folder, name), bytes);
  }
  server = await serve({ "/": scratch, "/pkg/": join(root, "pkg"), "/sample/": SAMPLE, "/hostile/": hostile });
});

after(async () => {
  await server?.close();
  for (const folder of [scratch, hostile]) rmSync(folder, { recursive: true, force: true });
});

/** Events: a page that is frozen handles about ten after the last read, when the matching has not begun; one that is not, thousands. */
const MANY = 100;

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
    });
    after(async () => {
      await tab?.close();
      await browser?.close();
    });

    /** @param {string} expression @returns {Promise<any>} */
    const inPage = (expression) => tab.page.evaluate(expression);

    test("the page handles events while hostile patterns are matched", async () => {
      const found = await inPage(`hostile("plan", "custom")`);
      assert.deepEqual([found.code, found.ours, found.field, found.alive], ["limit-exceeded", true, "alpha_pattern", 0]);
      assert.ok(found.turns >= MANY, `${found.turns} events`);
    });

    for (const call of ["plan", "merge", "openMerged"]) {
      for (const kind of ["custom", "files"]) {
        test(`an abort of ${call} is heard in the middle, with ${kind}`, async () => {
          const found = await inPage(`hostile("${call}", "${kind}", ${MANY})`);
          assert.deepEqual([found.code, found.ours, found.alive], ["aborted", true, 0]);
        });
      }
    }

    test("a worker makes the plan that this thread makes", async () => {
      const made = await inPage(`report(${JSON.stringify(sample)})`);
      assert.deepEqual([made.started, made.alive], [1, 0]);
      const here = await inPage(`report(${JSON.stringify(sample)}, { workers: 0 })`);
      assert.equal(here.started, 0);
      assert.equal(made.report, here.report);
      // What cannot be sent to a worker is an error all the same.
      assert.equal(await inPage(`wrong(${JSON.stringify(sample)})`), "bad-option");
    });

    test("it computes the entity tags, too, which of many tensors take long", async () => {
      const [made, here] = await inPage(`tags(${JSON.stringify(sample)})`);
      assert.deepEqual([made.here, here.here], [0, 1]);
      assert.match(made.etags[0][1], /^"[0-9a-f]{32}"$/);
      assert.deepEqual(made.etags, here.etags);
    });

    test("where no worker can be had, this thread plans", async () => {
      const { page, close } = await browser.open();
      await page.route("**/browser-worker.js", (route) => route.fulfill({ status: 404, body: "" }));
      await page.goto(server.origin);
      await page.waitForFunction("globalThis.ready === true");
      const { report, started } = /** @type {any} */ (await page.evaluate(`report(${JSON.stringify(sample)})`));
      assert.equal(started, 1);
      assert.equal(report, (await inPage(`report(${JSON.stringify(sample)})`)).report);
      // As in service workers.
      await page.evaluate("delete globalThis.Worker, globalThis.Worker = undefined");
      assert.equal((/** @type {any} */ (await page.evaluate(`report(${JSON.stringify(sample)})`))).report, report);
      await close();
    });

    test("nothing was complained of", () => assert.deepEqual(tab.problems, []));
  });
}
