// @ts-check
// `combine` and `extract`: in Node by workers and in the calling thread, as the command line, and the bytes of the native library.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { combine, extract, inspect, LorafoldError } from "../../pkg/node.js";
import { lorafold as run } from "./command.mjs";
import { scratch } from "./scratch.mjs";

const fixtures = fileURLToPath(new URL("../fixtures/factors/", import.meta.url));
const { cases } = JSON.parse(readFileSync(join(fixtures, "cases.json"), "utf8"));
const hashes = JSON.parse(readFileSync(new URL("../fixtures/factors-hashes.json", import.meta.url), "utf8"));

/** The hash of the values of a file: its header names the version. @param {Uint8Array} bytes */
function hashOf(bytes) {
  const header = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  return createHash("sha256").update(bytes.subarray(8 + header)).digest("hex");
}

/** @param {{ path: string, weight: number }[]} adapters */
const sources = (adapters) => adapters.map(({ path, weight }) => ({ source: join(fixtures, path), weight }));

const MODELS = { base: join(fixtures, "base"), tuned: join(fixtures, "tuned") };

test("the bytes are those of the native library, by workers and without", async (t) => {
  const folder = await scratch(t);
  for (const workers of [0, 2]) {
    for (const name of ["svd", "ties-svd", "dare-ties", "linear"]) {
      const { method, adapters, options } = cases[name];
      const out = join(folder, `${name}-${workers}`);
      const { files, report } = await combine({ adapters: sources(adapters), method, ...options, workers, output: out });
      assert.deepEqual(files.map((file) => file.name), ["adapter_config.json", "adapter_model.safetensors"]);
      assert.equal(hashOf(readFileSync(join(out, "adapter_model.safetensors"))), hashes[name], `${name} ${workers}`);
      assert.equal(report.method, method);
    }
    const out = join(folder, `extract-${workers}`);
    /** @type {number[]} */
    const seen = [];
    await extract({ ...MODELS, rank: 4, workers, output: out, onProgress: ({ bytes, total }) => seen.push(bytes / total) });
    assert.equal(hashOf(readFileSync(join(out, "adapter_model.safetensors"))), hashes.extract, `extract ${workers}`);
    assert.ok(seen.length > 3 && seen.at(-1) === 1 && seen.every((share, at) => at === 0 || share >= seen[at - 1]), String(seen));
  }
});

/** Two models of one weight that is too large to be decomposed as a whole: the same as in tests/factors.rs. @returns {File[]} */
function wide() {
  const sides = [150, 61];
  let state = 1;
  const number = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 16777216 - 0.5;
  };
  const base = Float32Array.from({ length: sides[0] * sides[1] }, number);
  const tuned = base.map((value, at) => value + Math.fround(number() / (1 + (at % sides[1]))));
  return [base, tuned].map((values) => {
    const header = JSON.stringify({ "up_proj.weight": { dtype: "F32", shape: sides, data_offsets: [0, values.byteLength] } });
    return new File([new BigUint64Array([BigInt(header.length)]), header, values], "model.safetensors");
  });
}

test("a large difference has the bytes of the native library", async () => {
  const [base, tuned] = wide();
  for (const workers of [0, 1]) {
    const { files } = await extract({ base: [base], tuned: [tuned], rank: 4, workers });
    const bytes = new Uint8Array(await (await files[1].blob()).arrayBuffer());
    assert.equal(hashOf(bytes), hashes["extract-wide"], String(workers));
  }
});

test("files in memory become Blobs", async () => {
  /** @param {string} name */
  const file = (name) => new File([readFileSync(join(fixtures, "a", name))], name);
  const { files, report } = await combine({ adapters: [[file("adapter_config.json"), file("adapter_model.safetensors")]], rank: 2, workers: 0 });
  assert.ok(report.modules.every((module) => module.rank === 2 && module.energy < 1));
  const [config, weights] = await Promise.all(files.map(async (file) => new Uint8Array(await (await file.blob()).arrayBuffer())));
  assert.equal(weights.length, files[1].size);
  assert.deepEqual([JSON.parse(Buffer.from(config).toString()).r, config.length], [2, files[0].size]);
});

test("what is made is an adapter for everything else", async (t) => {
  const out = join(await scratch(t), "out");
  await extract({ ...MODELS, output: out });
  const found = await inspect(out);
  assert.ok(found.kind === "adapter");
  assert.deepEqual(found.modules.map(({ module }) => module).filter((module) => module.endsWith("q_proj")), ["model.layers.0.q_proj", "model.layers.1.q_proj"]);
});

test("nothing is left of what fails or is stopped", async (t) => {
  const folder = await scratch(t);
  const out = join(folder, "out");
  const stop = new AbortController();
  const stopped = extract({ ...MODELS, output: out, workers: 1, signal: stop.signal, onProgress: () => stop.abort() });
  await assert.rejects(stopped, { code: "aborted" });
  assert.ok(!existsSync(out));
  await assert.rejects(extract({ ...MODELS, others: "refuse", output: out }), { code: "unsupported" });
  assert.ok(!existsSync(out));
  await combine({ adapters: [join(fixtures, "a")], output: out });
  const before = readdirSync(out);
  await assert.rejects(combine({ adapters: [join(fixtures, "b")], output: out }), (error) => error instanceof LorafoldError && error.facts.kind === "output-not-empty");
  assert.deepEqual(readdirSync(out), before);
  await combine({ adapters: [join(fixtures, "b")], output: out, force: true });
  await assert.rejects(combine({ adapters: [out], output: out, force: true }), (error) => error instanceof LorafoldError && error.facts.kind === "output-is-input");
});

test("options are refused by name", async () => {
  const adapters = [join(fixtures, "a")];
  for (const [call, field] of /** @type {[() => Promise<unknown>, string][]} */ ([
    [() => combine({ adapters: [] }), "adapters"],
    [() => combine({ adapters, rank: 2.5 }), "rank"],
    [() => combine({ adapters, method: "cat", rank: 2 }), "rank"],
    [() => combine({ adapters, energy: 2 }), "energy"],
    [() => combine({ adapters, method: "ties", density: Number.NaN }), "density"],
    [() => combine(/** @type {any} */ ({ adapters, ranks: 2 })), "ranks"],
    [() => combine(/** @type {any} */ ({ adapters, method: "mean" })), "method"],
    [() => extract(/** @type {any} */ ({ base: "b" })), "tuned"],
    [() => extract({ ...MODELS, seed: -1 }), "seed"],
    [() => extract(/** @type {any} */ ({ ...MODELS, others: "all" })), "others"],
  ])) {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof LorafoldError && error.code === "bad-option" && error.facts.field === field, `${field}: ${error}`);
      return true;
    });
  }
});

test("the command line makes the same", async (t) => {
  const folder = await scratch(t);
  const [a, b] = ["a", "b"].map((name) => join(fixtures, name));
  const combined = await run(["combine", "--adapter", `${a}@0.7`, "--adapter", `${b}@-0.4`, "--method", "linear", "--out", join(folder, "c"), "--json", "--quiet"]);
  assert.equal(combined.code, 0, combined.stderr);
  const report = JSON.parse(combined.stdout);
  assert.equal(report.method, "linear");
  assert.ok(report.modules.some((/** @type {{ deviation: number }} */ { deviation }) => deviation > 0.1));
  assert.equal(hashOf(readFileSync(join(folder, "c/adapter_model.safetensors"))), hashes.linear);
  const extracted = await run(["extract", "-b", MODELS.base, "--tuned", MODELS.tuned, "-r", "4", "-o", join(folder, "e")]);
  assert.equal(extracted.code, 0, extracted.stderr);
  assert.match(extracted.stdout, /4 modules of rank 4|rank 3 to 4|rank 2 to 4/);
  assert.match(extracted.stdout, /brought along as a whole: 4 tensors/);
  assert.equal(hashOf(readFileSync(join(folder, "e/adapter_model.safetensors"))), hashes.extract);
  for (const [words, message] of /** @type {[string[], RegExp][]} */ ([
    [["combine", "--out", "x"], /--adapter is missing/],
    [["combine", "--adapter", a], /--out is missing/],
    [["extract", "--base", a, "--out", "x"], /--tuned is missing/],
    [["extract", "--tuned", a, "--out", "x"], /--base is missing/],
    [["combine", "--adapter", a, "--rank", "many", "--out", "x"], /--rank: many is not a number/],
  ])) {
    const { code, stderr } = await run(words);
    assert.equal(code, 2);
    assert.match(stderr, message);
  }
});

test("a base tells the shapes that adapters do not", async (t) => {
  const folder = await scratch(t);
  const known = JSON.parse(readFileSync(new URL("../fixtures/combined.json", import.meta.url), "utf8"));
  const of = (/** @type {string} */ name) => fileURLToPath(new URL(`../fixtures/${name}/`, import.meta.url));
  await assert.rejects(combine({ adapters: [`${of("vera")}adapter`], method: "cat" }), (error) => error instanceof LorafoldError && error.code === "unsupported" && /--base/.test(error.message));
  for (const [name, workers] of /** @type {const} */ ([["vera", 0], ["lokr-conv-factors", 2], ["lora-bias", 0], ["experts-mixtral", 2]])) {
    const out = join(folder, name);
    await combine({ adapters: [`${of(name)}adapter`], base: `${of(name)}base`, method: "cat", workers, output: out });
    const [config, weights] = ["adapter_config.json", "adapter_model.safetensors"].map((file) => readFileSync(join(out, file)));
    const header = Number(weights.readBigUInt64LE(0));
    assert.equal(createHash("sha256").update(weights.subarray(8 + header)).update(config).digest("hex"), known[name].sha256, name);
  }
  const { code, stderr } = await run(["combine", "-a", `${of("vera")}adapter`, "-b", `${of("vera")}base`, "-m", "cat", "-o", join(folder, "cli"), "--quiet"]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(readFileSync(join(folder, "cli/adapter_model.safetensors")), readFileSync(join(folder, "vera/adapter_model.safetensors")));
});
