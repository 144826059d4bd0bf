// @ts-check
// Options that nobody knows, and those without which nothing would be merged: an error for every function, before anything is read.
import assert from "node:assert/strict";
import { join } from "node:path";
import { Writable } from "node:stream";
import { describe, mock, test } from "node:test";
import { initialize as initializeEdge, r2Source } from "../../pkg/edge.js";
import { nearest } from "../../pkg/nearest.js";
import { combine, extract, finishParts, inspect, merge, mergePart, openMerged, plan } from "../../pkg/node.js";
import { initialize as initializeSlim } from "../../pkg/slim.js";
import { scratch, snapshot, writeFolder } from "./scratch.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

/** @returns {any} */
const usual = () => {
  const { base, adapter } = tinyModel();
  return { base: asFiles(base), adapters: [asFiles(adapter)] };
};

/** @param {any} options */
const opened = async (options) => (await openMerged(options)).close();
/** @param {(model: import("../../pkg/node.js").MergedModel) => unknown} use */
const used = async (use) => {
  const model = await openMerged(usual());
  try {
    return await use(model);
  } finally {
    model.close();
  }
};

/** What is wrong, what does it, and what the error says. @type {[how: string, act: (folder: string) => unknown, says: RegExp, meant?: string][]} */
const WRONG = [
  ["merge: adapter", () => merge({ ...usual(), adapter: "x" }), /merge has no option adapter; did you mean adapters\?/, "adapters"],
  ["merge: dtyp", () => merge({ ...usual(), dtyp: "f16" }), /merge has no option dtyp; did you mean dtype\?/, "dtype"],
  ["merge: out", (out) => merge({ ...usual(), out }), /merge has no option out; did you mean output\?/, "output"],
  ["merge: max_shard_size", () => merge({ ...usual(), max_shard_size: 5e9 }), /did you mean maxShardSize\?/, "maxShardSize"],
  ["merge: wrokers", () => merge({ ...usual(), wrokers: 1 }), /did you mean workers\?/, "workers"],
  ["merge: a name like none", () => merge({ ...usual(), temperature: 1 }), /merge has no option temperature; there are base, adapters, .*force$/],
  ["merge: a name with undefined", () => merge({ ...usual(), dtyp: undefined }), /dtyp/, "dtype"],
  ["merge: no options", () => merge(/** @type {any} */ (undefined)), /base: not given/],
  ["merge: a path", () => merge(/** @type {any} */ ("base")), /options: "base" is not an object with the options of merge/],
  ["plan: methd", () => plan({ ...usual(), methd: "linear" }), /plan has no option methd; did you mean method\?/, "method"],
  ["plan: a function for a pattern", () => plan({ ...usual(), only: () => 0 }), /^only: .* is not a text \(the source of a regular expression\)$/],
  ["plan: a symbol for a type", () => plan({ ...usual(), dtype: Symbol("f16") }), /dtype: .* is not a text/],
  ["plan: NaN for a pattern", () => plan({ ...usual(), skip: NaN }), /skip: NaN is not a text/],
  ...["allowNonfinite", "statistics", "force", "hashBase", "allowUnmatched"].flatMap((name) => ["false", 1, null].map((value) => /** @type {(typeof WRONG)[number]} */ ([`merge: ${name}: ${JSON.stringify(value)}`, (output) => merge({ ...usual(), output, [name]: value }), new RegExp(`^${name}: ${JSON.stringify(value)} is not true or false$`)]))),
  ["combine: force", (output) => combine(/** @type {any} */ ({ adapters: usual().adapters, output, force: "no" })), /^force: "no" is not true or false$/],
  ["inspect: hash", () => inspect(usual().base, /** @type {any} */ ({ hash: "yes" })), /^hash: "yes" is not true or false$/],
  ["merge: an expression that is no text", () => merge({ ...usual(), only: /q/ }), /^only: \/q\/ is not a text/],
  ["merge: a number as its type", () => merge({ ...usual(), dtype: 16 }), /^dtype: 16 is not a text$/],
  ["merge: a text as gamma", () => merge({ ...usual(), gamma: "0.1" }), /^gamma: "0\.1" is not a number$/],
  ["an adapter: one weight for weights", () => merge({ ...usual(), adapters: [{ source: "x", weights: 0.5 }] }), /^adapters\[0\]\.weights: 0\.5 is not an array$/],
  ["extract: an expression that is no text", () => extract(/** @type {any} */ ({ base: "b", tuned: "t", only: /q/ })), /^only: \/q\/ is not a text/],
  ["an adapter: a number as its name", () => merge({ ...usual(), adapters: [...usual().adapters, { source: "x", name: 5 }] }), /^adapters\[1\]\.name: 5 is not a text$/],
  ["an adapter: an expression that is no text", () => merge({ ...usual(), adapters: [{ source: "x", skip: ["a", /q/] }] }), /^adapters\[0\]\.skip: \/q\/ is not a text/],
  ["an adapter: true or false as a text", () => merge({ ...usual(), adapters: [{ source: "x", residualBase: "false" }] }), /^adapters\[0\]\.residualBase: "false" is not true or false$/],
  ["an adapter that is nothing", () => merge({ ...usual(), adapters: [...usual().adapters, null] }), /^adapters\[1\]: null is not/],
  ["an adapter that is not there", () => merge({ ...usual(), adapters: [...usual().adapters, "./nowhere-at-all"] }), /^adapters\[1\]: no such folder/],
  ["merge: no output at all", () => merge({ ...usual(), output: null }), /^output: null is not a place/],
  ["merge: Blob", () => merge({ ...usual(), output: "Blob" }), /^output: there is no "Blob"; did you mean "blob"\?$/, "blob"],
  ["merge: OPFS", () => merge({ ...usual(), output: "OPFS" }), /^output: there is no "OPFS"; did you mean "opfs"\?$/, "opfs"],
  ["merge: a stream of Node", () => merge({ ...usual(), output: () => new Writable() }), /^output: it gave no WritableStream; of a stream of Node give Writable\.toWeb\(stream\)$/],
  ["merge: bytes as a base", () => merge({ ...usual(), base: new Uint8Array(8) }), /^base: bytes are no source; wrap them: new Blob\(\[bytes\]\)$/],
  ["merge: paths as a base", () => merge({ ...usual(), base: ["a", "b"] }), /^base: an array of other things than File objects; give a path/],
  ["merge: an object without a method as a base", () => merge({ ...usual(), base: { uri: "x" } }), /^base: not something that files can be read from; give a path or an address, a Blob/],
  ["merge: an empty text as output", () => merge({ ...usual(), output: "" }), /^output: it is empty; give a folder$/],
  ["an adapter: a path", () => merge({ ...usual(), adapters: [{ path: "A" }] }), /^adapters\[0\]: it has no source; give/],
  ["inspect: nothing", () => inspect(/** @type {any} */ (undefined)), /^source: not given$/],
  ["mergePart: no part", (output) => mergePart({ ...usual(), output }, /** @type {any} */ (undefined)), /^part: not given; give/],
  ["read: texts", () => used((model) => model.read("config.json", /** @type {any} */ ("0"), /** @type {any} */ ("8"))), /"0" to "8" is no range of it: both are numbers/],
  ["read: options in place of a range", () => used((model) => model.read("config.json", /** @type {any} */ ({}))), /is no range of it: both are numbers, and options come after them/],
  ["slim: a policy that forbids WebAssembly", async () => {
    const compile = mock.method(WebAssembly, "compile", async () => Promise.reject(new WebAssembly.CompileError("WebAssembly.compile(): Compiling or instantiating WebAssembly module violates the following Content Security policy directive because 'unsafe-eval' is not an allowed source of script")));
    await initializeSlim(new Uint8Array(8)).finally(() => compile.mock.restore());
  }, /^initialize: the page's content security policy forbids WebAssembly; add 'wasm-unsafe-eval' to its script-src$/],
  ["openMerged: output", () => opened({ ...usual(), output: "out" }), /openMerged has no option output/],
  ["openMerged: tide", () => opened({ ...usual(), tide: "auto" }), /did you mean tied\?/, "tied"],
  ["mergePart: statistics", (output) => mergePart({ ...usual(), output, statistics: true }, { part: 1, of: 1 }), /mergePart has no option statistics/],
  ["mergePart: another name in the part", (output) => mergePart({ ...usual(), output }, /** @type {any} */ ({ part: 1, off: 2 })), /the part has no option off; did you mean of\?|the part has no option off/],
  ["finishParts: forse", (output) => finishParts(output, /** @type {any} */ ({ forse: true })), /finishParts has no option forse; did you mean force\?/, "force"],
  ["inspect: sginal", () => inspect(usual().base, /** @type {any} */ ({ sginal: null })), /inspect has no option sginal; did you mean signal\?/, "signal"],
  ["inspect: a signal instead of options", () => inspect(usual().base, /** @type {any} */ (new AbortController().signal)), /inspect has no option/],
  ["read: a signal instead of options", () => used((model) => model.read("config.json", 0, 1, /** @type {any} */ (new AbortController().signal))), /a read has no option/],
  ["stream: abort", () => used((model) => model.stream("config.json", 0, 1, /** @type {any} */ ({ abort: 1 }))), /a read has no option abort; there is signal/],
  ["response: onerror", () => used((model) => model.response(new Request("http://x/config.json"), /** @type {any} */ ({ onerror: () => {} }))), /response has no option onerror; did you mean onError\?/, "onError"],
  ["an adapter: wieght", () => merge({ ...usual(), adapters: [{ source: "x", wieght: 0.5 }] }), /adapters\[0\] has no option wieght; did you mean weight\?/, "weight"],
  ["an adapter: sorce", () => merge({ ...usual(), adapters: [{ sorce: "x", weight: 1 }] }), /adapters\[0\] has no option sorce; did you mean source\?/, "source"],
  ["an adapter without a source", () => merge({ ...usual(), adapters: [...usual().adapters, { weight: 1 }] }), /adapters\[1\]: it has no source/],
  ["a URL with a weight", () => merge({ ...usual(), adapters: [{ url: "http://127.0.0.1:1/a/", weight: 1 }] }), /a URL with headers has no option weight; there are url, headers/],
  ["a URL: header", () => merge({ ...usual(), base: { url: "http://127.0.0.1:1/a/", header: {} } }), /did you mean headers\?/, "headers"],
  ["slim: startWorkers", () => initializeSlim(new Uint8Array(), /** @type {any} */ ({ startWorkers: () => {} })), /initialize has no option startWorkers; did you mean startWorker\?/, "startWorker"],
  ["edge: startWorker", () => initializeEdge(new Uint8Array(), /** @type {any} */ ({ startWorker: () => {} })), /initialize has no option startWorker; there is rest/],
  ["r2Source: one object with both", () => r2Source(/** @type {any} */ ({ bucket: {}, prefix: "x" }), /** @type {any} */ (undefined)), /bucket: not the binding of an R2 bucket/],
  ["r2Source: no prefix", () => r2Source({ list: async () => ({ objects: [], truncated: false }), get: async () => null }, /** @type {any} */ (undefined)), /prefix: undefined is not/],
];

/** Without these the base would be written as the merge, or something else be read. @type {[how: string, act: (options: any) => any, says: RegExp][]} */
const MISSING = [
  ["no adapters", ({ base }) => ({ base }), /^adapters: none is given.*; give at least one$/],
  ["adapters that are null", ({ base }) => ({ base, adapters: null }), /^adapters: none is given/],
  ["adapters that are empty", ({ base }) => ({ base, adapters: [] }), /^adapters: none is given/],
  ["an adapter that is no array", ({ base, adapters: [adapter] }) => ({ base, adapters: { source: adapter } }), /^adapters: not an array; give an array/],
  ["no base", ({ adapters }) => ({ adapters }), /^base: not given/],
  ["a base that is null", ({ adapters }) => ({ adapters, base: null }), /^base: not given/],
  ["a base that is an empty string", ({ adapters }) => ({ adapters, base: "" }), /^base: it is empty/],
  ["a base that is no file at all", ({ adapters }) => ({ adapters, base: [] }), /^base: it is empty/],
  ["an adapter that is an empty string", ({ base }) => ({ base, adapters: [""] }), /^adapters\[0\]: it is empty/],
];

describe("an option that would be ignored is an error:", () => {
  for (const [how, act, says, meant] of WRONG) {
    test(how, async (t) => {
      const folder = await scratch(t);
      const error = await Promise.resolve().then(() => act(join(folder, "out"))).then(() => undefined, (/** @type {any} */ thrown) => thrown);
      assert.equal(error?.code, "bad-option", String(error));
      assert.match(error.message, says);
      if (meant !== undefined) assert.equal(error.facts.expected, meant);
      assert.deepEqual(await snapshot(folder), {});
    });
  }
});

describe("what is missing is an error of every function:", () => {
  /** @type {Record<string, (options: any, output: string) => Promise<unknown>>} */
  const functions = {
    merge: (options, output) => merge({ ...options, output }),
    plan,
    openMerged: opened,
    mergePart: (options, output) => mergePart({ ...options, output }, { part: 1, of: 1 }),
  };
  for (const [how, without, says] of MISSING) {
    test(how, async (t) => {
      const folder = await scratch(t);
      for (const [name, act] of Object.entries(functions)) {
        await assert.rejects(act(without(usual()), join(folder, "out")), { code: "bad-option", message: says }, name);
      }
      assert.deepEqual(await snapshot(folder), {});
    });
  }
});

test("an adapter's pattern may be one text", async () => {
  const { base, adapters: [source] } = usual();
  const names = async (/** @type {any} */ how) => (await plan({ base, adapters: [{ source, ...how }] })).adapters[0]?.leftOut;
  assert.deepEqual(await names({ only: "q_proj" }), await names({ only: ["q_proj"] }));
  assert.deepEqual(await names({ skip: "q_proj" }), await names({ skip: ["q_proj"] }));
  assert.notDeepEqual(await names({ only: "q_proj" }), await names({ skip: "q_proj" }));
});

test("what an asynchronous onProgress rejects with is the merge's failure", async () => {
  for (const workers of [0, 1]) await assert.rejects(merge({ ...usual(), workers, onProgress: async () => Promise.reject(new Error("full")) }), { message: "full" });
});

test("what merge is given can be given to plan", async () => {
  const report = await plan({ ...usual(), output: "out", workers: 1, memoryBudget: 64 << 20, onProgress: () => {}, statistics: true, force: true, allowNonfinite: true });
  assert.equal(report.merged, 2);
});

test("a source of one's own may have names of its own, a url among them", async () => {
  const { base } = tinyModel();
  class Mine {
    url = "http://127.0.0.1:1/";
    weight = 3;
    list = async () => Object.entries(base).map(([name, { length }]) => ({ name, size: length }));
    read = async (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => new Uint8Array(base[name]?.subarray(start, end) ?? []);
  }
  assert.equal((await plan({ ...usual(), base: new Mine() })).merged, 2);
});

describe("a path", () => {
  /** @param {string} base */
  const said = async (base) => {
    const error = await plan({ ...usual(), base }).catch((/** @type {any} */ thrown) => thrown);
    assert.deepEqual([error.code, error.facts.kind, error.facts.field], ["bad-option", "not-found", "base"], String(error));
    return error.message;
  };

  test("where nothing is, is told in words", async (t) => {
    const folder = await scratch(t);
    await writeFolder(join(folder, "tiny-llama"), tinyModel().base);
    assert.equal(await said(join(folder, "elsewhere")), `base: no such folder: ${join(folder, "elsewhere")}`);
    assert.match(await said(join(folder, "tiny-lama")), /; did you mean .*tiny-llama\?$/);
    assert.match(await said(join(folder, "model.safetensors")), /^base: no such file: /);
    assert.match(await said(join(folder, "tiny-llama", "config.json", "x")), /^base: no such folder: /);
    assert.match(await said("~/models/base"), /shells expand ~ only where a word begins/);
  });

  test("that looks like a repository is offered as one", async () => {
    assert.match(await said("TinyLlama/TinyLlama-1.1B-Chat-v1.0"), /; for the repository of the hub give hf:\/\/TinyLlama\/TinyLlama-1\.1B-Chat-v1\.0$/);
    assert.doesNotMatch(await said("nowhere"), /hf:/);
  });

  test("of a file that stands for its folder is that folder", async (t) => {
    const { base, adapter } = tinyModel();
    const folder = await scratch(t);
    const [one, two] = [await writeFolder(join(folder, "one"), base), await writeFolder(join(folder, "two"), adapter)];
    const whole = await plan({ base: one, adapters: [two] });
    for (const [file, other] of [["config.json", "adapter_config.json"], ["config.json", "adapter_model.safetensors"]]) {
      assert.deepEqual(await plan({ base: join(one, file), adapters: [join(two, other)] }), whole);
    }
    assert.equal((await inspect(join(two, "adapter_config.json"))).kind, "adapter");
  });
});

test("the nearest name is one that may have been meant", () => {
  const names = ["base", "adapters", "dtype", "maxShardSize", "only"];
  /** @type {[string, string | undefined][]} */
  const found = [["Base", "base"], ["adaptor", "adapters"], ["dytpe", "dtype"], ["max-shard-size", "maxShardSize"], ["maxShards", "maxShardSize"], ["x", undefined], ["", undefined], ["temperature", undefined], ["b".repeat(1e6), undefined]];
  for (const [given, meant] of found) assert.equal(nearest(given, names), meant, given.slice(0, 20));
});
