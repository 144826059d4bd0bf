// @ts-check
// Inputs that fail while they are read, or are not what they were.
import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { readFile, rm, symlink, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { inspect, merge, plan } from "../../pkg/node.js";
import { RemoteFile } from "../../pkg/sources/remote.js";
import { lorafold } from "./command.mjs";
import { correct, scriptedServer, whole } from "./scripted-server.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";
import { hashes, scratch, snapshot, writeFolder } from "./scratch.mjs";
import { asFiles, factor, Q, TENSORS, tinyModel } from "./tiny-model.mjs";

const WEIGHTS = "model.safetensors";

/** @typedef {import("./scripted-server.mjs").Asked} Asked */
/** @typedef {import("./scripted-server.mjs").Answer} Answer */

/** Requests for the weights once the plan is made. @param {Asked} asked */
const later = ({ name, range, count }) => name === WEIGHTS && (range ? range[0] > 8 && range[1] > 600 : count > 2);

/** Servers, and what comes of them. @type {[string, (asked: Asked) => Answer, string, RegExp][]} */
const SERVERS = [
  ["that has nothing", () => ({ status: 404 }), "fetch-failed", /no model\.safetensors/],
  ["that is broken", () => ({ status: 500 }), "fetch-failed", /answered 500/],
  ["that forbids the weights", (asked) => (asked.name === WEIGHTS ? { status: 403 } : correct(asked)), "fetch-failed", /model\.safetensors.*403/],
  ["that breaks down when weights are read", (asked) => (later(asked) ? { status: 503 } : correct(asked)), "fetch-failed", /model\.safetensors.*503/],
  ["that dies in the middle of weights", (asked) => (later(asked) ? { ...correct(asked), headers: { ...correct(asked).headers, "Content-Length": correct(asked).body?.length ?? 0 }, cutAfter: 3 } : correct(asked)), "fetch-failed", /model\.safetensors/],
  ["that dies in the middle of the configuration", (asked) => (asked.name === "config.json" ? { ...whole(asked), cutAfter: 3 } : correct(asked)), "fetch-failed", /config\.json/],
  ["without ranges that dies in the middle of the configuration", (asked) => ({ ...whole(asked), ...(asked.name === "config.json" && { cutAfter: 3 }) }), "fetch-failed", /config\.json/],
  ["without ranges that dies in the middle of weights", (asked) => ({ ...whole(asked), ...(asked.name === WEIGHTS && asked.count > 0 && { cutAfter: 600 }) }), "fetch-failed", /model\.safetensors/],
  ["that hangs up when weights are read", (asked) => (later(asked) ? { silent: true } : correct(asked)), "fetch-failed", /model\.safetensors/],
  ["whose weights end early", (asked) => (later(asked) ? { ...correct(asked), body: correct(asked).body?.subarray(2) } : correct(asked)), "fetch-failed", /model\.safetensors.*too early/],
  ["whose weights go on", (asked) => (later(asked) ? { ...correct(asked), body: Buffer.alloc(9999) } : correct(asked)), "source-changed", /model\.safetensors/],
  ["that forgets how to answer ranges", (asked) => (later(asked) ? whole(asked) : correct(asked)), "no-range-support", /model\.safetensors/],
  ["whose file has grown", (asked) => (later(asked) ? { ...correct(asked), headers: { "Content-Range": `bytes ${asked.range?.join("-")}/99999` } } : correct(asked)), "source-changed", /model\.safetensors.*99999/],
  ["that sends another range", (asked) => (later(asked) ? { ...correct(asked), headers: { "Content-Range": `bytes 0-9/${asked.file?.length}` } } : correct(asked)), "source-changed", /model\.safetensors.*bytes 0-9/],
  ["that does not say how long a file is", (asked) => (asked.name === WEIGHTS && asked.range ? { ...correct(asked), headers: { "Content-Range": "bytes 0-0/*" } } : asked.name === WEIGHTS ? { status: 405 } : correct(asked)), "fetch-failed", /how large/],
];

test("an adapter behind a URL is inspected as one", async (t) => {
  const server = await scriptedServer(tinyModel().adapter, correct);
  t.after(server.close);
  for (const url of [server.url, new URL("adapter_model.safetensors", server.url).href]) {
    const described = await inspect(url);
    assert.equal(described.kind, "adapter", url);
  }
});

test("adapters that are no array are refused in words", async () => {
  for (const adapters of ["folder", {}, 5]) {
    const given = /** @type {any} */ ({ base: asFiles(tinyModel().base), adapters });
    await assert.rejects(plan(given), { name: "LorafoldError", code: "bad-option", message: /adapters/ });
  }
});

describe("a server", { concurrency: 2 }, () => {
  for (const [how, answer, code, says] of SERVERS) {
    test(how, async (t) => {
      const { base, adapter } = tinyModel();
      const server = await scriptedServer(base, answer);
      t.after(server.close);
      const folder = await scratch(t);
      for (const workers of [0, 2]) {
        const error = await merge({ base: server.url, adapters: [asFiles(adapter)], output: join(folder, "out"), workers }).catch((/** @type {any} */ e) => e);
        assert.equal(error.name, "LorafoldError", String(error));
        assert.equal(error.code, code, error.message);
        assert.match(error.message, says);
        assert.deepEqual(await snapshot(folder), {});
        for (const name of Object.keys(server.counts)) delete server.counts[name];
      }
    });
  }

  test("that is not there", async () => {
    const { adapter } = tinyModel();
    const server = await scriptedServer({});
    await server.close();
    for (const url of [server.url, `${server.url}model.safetensors`, new URL(server.url)]) {
      await assert.rejects(merge({ base: url, adapters: [asFiles(adapter)] }), { name: "LorafoldError", code: "fetch-failed" });
    }
    const ended = await lorafold(["inspect", server.url, "--json"]);
    assert.deepEqual([ended.code, JSON.parse(ended.stdout)[0].error.code], [1, "fetch-failed"]);
  });

  test("with an adapter that is only half there", async (t) => {
    const { base, adapter } = tinyModel();
    for (const [file, code] of [["adapter_config.json", "bad-config"], ["adapter_model.safetensors", "wrong-input"]]) {
      const { [file]: _, ...rest } = adapter;
      const server = await scriptedServer(rest);
      t.after(server.close);
      await assert.rejects(plan({ base: asFiles(base), adapters: [server.url] }), { name: "LorafoldError", code, message: new RegExp(file) });
    }
  });

  test("with an index whose answer breaks off", async (t) => {
    const { base, adapter } = tinyModel();
    const files = { ...base, "model.safetensors.index.json": Buffer.from(JSON.stringify({ weight_map: { a: WEIGHTS } })) };
    const server = await scriptedServer(files, (asked) => (asked.name.endsWith(".index.json") ? { ...correct(asked), cutAfter: 2 } : correct(asked)));
    t.after(server.close);
    await assert.rejects(plan({ base: server.url, adapters: [asFiles(adapter)] }), { name: "LorafoldError", code: "fetch-failed" });
  });
});

test("a body that is refused for its version is given up", async (t) => {
  let cancelled = 0;
  const body = () => new ReadableStream({ cancel: () => void cancelled++ });
  t.mock.method(globalThis, "fetch", async () => new Response(body(), { headers: { etag: '"2"' } }));
  const file = new RemoteFile({ url: "http://any.example/x", ranges: false, version: '"1"' });
  await assert.rejects(file.read(0, 4), { code: "source-changed", message: /"1".*"2"/ });
  assert.equal(cancelled, 1);
});

test("names of files may have signs that mean something in a URL, and the folder's query is every file's", async (t) => {
  const { base, adapter } = tinyModel();
  const { [WEIGHTS]: weights, ...rest } = base;
  const name = "model #1?&100%.safetensors";
  const index = { metadata: {}, weight_map: Object.fromEntries(Object.keys(TENSORS.base).map((key) => [key, name])) };
  const files = { ...rest, [name]: weights, "model.safetensors.index.json": Buffer.from(JSON.stringify(index)), ...adapter };
  const server = await scriptedServer(files, (asked) => (asked.query === "?key=a%2Fb&v=1" ? correct(asked) : { status: 403 }));
  t.after(server.close);
  const signed = `${server.url}?key=a%2Fb&v=1`;
  const { files: merged } = await merge({ base: signed, adapters: [`${server.url}adapter_model.safetensors?key=a%2Fb&v=1`] });
  const { files: local } = await merge({ base: asFiles({ ...rest, [name]: weights, "model.safetensors.index.json": files["model.safetensors.index.json"] }), adapters: [asFiles(adapter)] });
  assert.deepEqual(await hashes({ files: merged }), await hashes({ files: local }));
  await assert.rejects(plan({ base: server.url, adapters: [asFiles(adapter)] }), { code: "fetch-failed", message: /403/ });
});

describe("a source of one's own", () => {
  /** @param {Partial<import("../../pkg/types.js").Source>} changes */
  function source(changes) {
    const { base } = tinyModel();
    return {
      list: async () => Object.entries(base).map(([name, { length }]) => ({ name, size: length })),
      read: async (/** @type {string} */ name, /** @type {number} */ start, /** @type {number} */ end) => new Uint8Array(base[name].subarray(start, end)),
      ...changes,
    };
  }
  const mine = new Error("the dog ate it");
  const good = source({}).read;
  /** Lies once the header has been read. @param {(bytes: Uint8Array) => unknown} lie */
  const lying = (lie) => source({ read: async (name, start, end) => {
    const bytes = await good(name, start, end);
    return /** @type {any} */ (name === WEIGHTS && start > 8 ? lie(bytes) : bytes);
  } });

  for (const [how, base, code, says] of /** @type {[string, any, string, RegExp][]} */ ([
    ["whose list fails", source({ list: () => Promise.reject(mine) }), "fetch-failed", /the dog ate it/],
    ["whose list throws", source({ list: () => { throw mine; } }), "fetch-failed", /the dog ate it/],
    ["whose list is none", source({ list: async () => /** @type {any} */ (undefined) }), "fetch-failed", /list/],
    ["whose list has nothing in it", source({ list: async () => /** @type {any} */ ([null]) }), "fetch-failed", /list gave null/],
    ["whose list has no size", source({ list: async () => /** @type {any} */ ([{ name: WEIGHTS }]) }), "fetch-failed", /list gave .*model\.safetensors/],
    ["whose read fails", source({ read: () => Promise.reject(mine) }), "fetch-failed", /the dog ate it/],
    ["whose read throws", source({ read: () => { throw mine; } }), "fetch-failed", /the dog ate it/],
    ["whose read fails later", lying(() => Promise.reject(mine)), "fetch-failed", /model\.safetensors.*the dog ate it/],
    ["whose read fails later with nothing", lying(() => Promise.reject(undefined)), "fetch-failed", /model\.safetensors/],
    ["that gives fewer bytes", lying((bytes) => bytes.subarray(1)), "source-changed", /model\.safetensors/],
    ["that gives more bytes", lying((bytes) => Buffer.concat([bytes, bytes])), "source-changed", /model\.safetensors/],
    ["that gives text", lying(() => "text"), "fetch-failed", /Uint8Array/],
    ["that gives nothing", lying(() => undefined), "fetch-failed", /Uint8Array/],
  ])) {
    test(how, async (t) => {
      const { adapter } = tinyModel();
      const folder = await scratch(t);
      for (const workers of [0, 2]) {
        const error = await merge({ base, adapters: [asFiles(adapter)], output: join(folder, "out"), workers }).catch((/** @type {any} */ e) => e);
        assert.equal(error.name, "LorafoldError", String(error));
        assert.equal(error.code, code, error.message);
        assert.match(error.message, says);
        assert.deepEqual(await snapshot(folder), {});
      }
    });
  }

  test("that is nothing at all", async () => {
    for (const base of [undefined, null, 7, {}, [], [7]]) {
      await assert.rejects(merge({ base: /** @type {any} */ (base), adapters: [asFiles(tinyModel().adapter)] }), { name: "LorafoldError" }, JSON.stringify(base));
    }
    await assert.rejects(inspect(/** @type {any} */ ({})), { code: "bad-option" });
    for (const adapter of [undefined, null, 7, { source: 7 }]) {
      await assert.rejects(merge({ base: source({}), adapters: [/** @type {any} */ (adapter)] }), { name: "LorafoldError" }, JSON.stringify(adapter));
    }
  });

  for (const name of ["../model.safetensors", "sub/model.safetensors", "..\\model.safetensors", "c:model.safetensors", "a\0.safetensors"]) {
    test(`whose weights are called ${JSON.stringify(name)}`, async () => {
      const { base, adapter } = tinyModel();
      const { [WEIGHTS]: weights } = base;
      const other = { list: async () => [{ name, size: weights.length }], read: async (/** @type {string} */ _, /** @type {number} */ start, /** @type {number} */ end) => new Uint8Array(weights.subarray(start, end)) };
      await assert.rejects(plan({ base: other, adapters: [asFiles(adapter)] }), { name: "LorafoldError", code: "bad-header", message: /plain file name/ });
    });
  }

  test("with two files of one name", async () => {
    const { base, adapter } = tinyModel();
    for (const name of Object.keys(base)) {
      const files = [...asFiles(base), new File([new Uint8Array(base[name])], name)];
      await assert.rejects(plan({ base: files, adapters: [asFiles(adapter)] }), { name: "LorafoldError", code: "bad-option", message: /twice/ }, name);
    }
  });
});

describe("files that change once the plan is made", () => {
  for (const workers of [0, 2]) {
    for (const [how, change, code] of /** @type {[string, (path: string) => Promise<void>, string][]} */ ([
      ["cut off", (path) => truncate(path, 500), "source-changed"],
      ["emptied", (path) => truncate(path, 0), "source-changed"],
      ["removed", (path) => rm(path), "fetch-failed"],
    ])) {
      test(`${how}, with ${workers} workers`, async (t) => {
        const folder = await scratch(t);
        const { base, adapter } = tinyModel();
        const paths = { base: await writeFolder(join(folder, "base"), base), adapter: await writeFolder(join(folder, "adapter"), adapter) };
        const before = await readFile(join(paths.base, WEIGHTS));
        let changed = false;
        const output = async () => {
          if (!changed) await change(join(paths.base, WEIGHTS));
          changed = true;
          return new WritableStream();
        };
        await assert.rejects(merge({ base: paths.base, adapters: [paths.adapter], output, workers }),
          { name: "LorafoldError", code, message: /model\.safetensors/ });
        assert.ok(before.length > 500);
      });
    }
  }

  test("what is neither read nor copied may change, what is copied may not", async (t) => {
    const folder = await scratch(t);
    const { base, adapter } = tinyModel();
    const paths = { base: await writeFolder(join(folder, "base"), { ...base, "pytorch_model.bin": "old" }), adapter: await writeFolder(join(folder, "adapter"), { ...adapter, "optimizer.pt": "old" }) };
    const mergeWhile = async (/** @type {string[]} */ ...names) => {
      const onProgress = () => names.splice(0).forEach((name) => appendFileSync(join(folder, name), " "));
      return merge({ base: paths.base, adapters: [paths.adapter], output: join(folder, "out"), force: true, workers: 1, onProgress });
    };
    await mergeWhile("base/pytorch_model.bin", "adapter/optimizer.pt");
    for (const name of ["base/config.json", "base/tokenizer.json", "base/model.safetensors", "adapter/adapter_config.json", "adapter/adapter_model.safetensors"]) {
      await assert.rejects(mergeWhile(name), { code: "source-changed" }, name);
      await writeFolder(paths.base, base);
      await writeFolder(paths.adapter, adapter);
    }
  });

  test("an adapter that is cut off", async (t) => {
    const folder = await scratch(t);
    const { base, adapter } = tinyModel();
    const path = await writeFolder(join(folder, "adapter"), adapter);
    const output = async () => {
      await truncate(join(path, "adapter_model.safetensors"), 100);
      return new WritableStream();
    };
    for (const workers of [0, 1]) {
      await writeFolder(path, adapter);
      await assert.rejects(merge({ base: asFiles(base), adapters: [path], output, workers }),
        { code: "source-changed", message: /adapter_model\.safetensors/ });
    }
  });
});

test("a URL that is none, and an empty path, are refused in words", async () => {
  await assert.rejects(inspect("http://127.0.0.1:1/50%off/"), { name: "LorafoldError", code: "bad-option", message: /50%off/ });
  const { base, adapter } = tinyModel();
  for (const url of ["file:///a%2Fb", "file://host/model", new URL("file:///a%2Fb")]) {
    await assert.rejects(inspect(url), { name: "LorafoldError", code: "bad-option", message: /^file:/ });
  }
  await assert.rejects(inspect(""), { name: "LorafoldError", code: "bad-option", message: /empty/ });
  await assert.rejects(merge({ base: asFiles(base), adapters: [asFiles(adapter)], output: "", force: true }), { code: "bad-option", message: /empty/ });
});

test("a link of a base that leads nowhere is an error, not a file less", async (t) => {
  const { base, adapter } = tinyModel();
  const path = await writeFolder(join(await scratch(t), "base"), base);
  await symlink("nowhere", join(path, "tokenizer.model"));
  await assert.rejects(merge({ base: path, adapters: [asFiles(adapter)] }), { code: "fetch-failed", message: /tokenizer\.model/ });
});

test("a key of an adapter may be as strange as JSON allows", async () => {
  const { base, adapter } = tinyModel();
  const module = 'model.späße "\\".\u{1f600}';
  const values = { A: [1, 2], B: [3, 4] };
  base[WEIGHTS] = buildSafetensors({ [`${module}.weight`]: { dtype: "F32", shape: [2, 2], values: [0, 0, 0, 0] } });
  adapter["adapter_config.json"] = Buffer.from(JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1 }));
  adapter["adapter_model.safetensors"] = buildSafetensors({
    [factor(module, "A")]: { dtype: "F32", shape: [1, 2], values: values.A },
    [factor(module, "B")]: { dtype: "F32", shape: [2, 1], values: values.B },
  });
  const { report } = await merge({ base: asFiles(base), adapters: [asFiles(adapter)], workers: 1 });
  assert.deepEqual(report.tensors.map(({ name, action }) => [name, action]), [[`${module}.weight`, "merge"]]);
  assert.ok(!report.tensors.some(({ name }) => name.startsWith(Q)));
});
