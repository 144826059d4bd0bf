// @ts-check
// Methods that merge several adapters: what they compute is what PEFT and mergekit compute, however the work is shared out.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { finishParts, merge, mergePart, openMerged, plan } from "../../pkg/node.js";
import { mergeHere } from "./command.mjs";
import { doraModel } from "./dora-model.mjs";
import { FIXTURES } from "./fixture.mjs";
import { largest, random } from "./numbers.mjs";
import { readModel, readSafetensors, valuesOf } from "./safetensors-file.mjs";
import { hashes, scratch, sha256, snapshot } from "./scratch.mjs";

const folder = join(FIXTURES, "rules");
const base = join(folder, "base");
const { seed, adapters, cases } = JSON.parse(readFileSync(join(folder, "rules.json"), "utf8"));

const DRAWS = new Set(["dare_linear", "dare_ties", "della", "della_linear"]);
const KEEPS_ALL = new Set(["model_stock", "slerp", "nuslerp", "karcher"]);
const WEIGHS_ITSELF = new Set(["sce", "model_stock", "karcher"]);

/** The options of a case. @param {any} made @returns {any} */
function optionsOf({ method, adapters: count, density, weights, densities, ...rest }) {
  const adapter = (/** @type {number} */ at) => ({
    source: join(folder, adapters[at]),
    ...(!WEIGHS_ITSELF.has(method) && { weight: weights[at] }),
    ...(densities && { density: densities[at] }),
  });
  return { base, adapters: Array.from({ length: count }, (_, at) => adapter(at)), method, ...(!KEEPS_ALL.has(method) && { density }), ...(DRAWS.has(method) && { seed }), ...rest };
}

/** The same for the command line. @param {any} options @returns {string[]} */
function flagsOf({ adapters, method, density, seed, gamma, epsilon, majoritySign, normalize, flavor }) {
  const adapter = (/** @type {any} */ { source, weight, density }) => `${source}@${weight ?? 1}${density === undefined ? "" : `:density=${density}`}`;
  const values = { method, density, seed, gamma, epsilon, "majority-sign": majoritySign, normalize: normalize === undefined ? undefined : normalize ? "yes" : "no", flavor };
  const flags = Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)]));
  return ["merge", "--base", base, ...adapters.flatMap((/** @type {any} */ one) => ["--adapter", adapter(one)]), ...flags];
}

describe("the deltas are those of PEFT and mergekit", { concurrency: 2 }, () => {
  const { tensors: expected } = readSafetensors(join(folder, "expected.safetensors"));
  const before = readModel(base);
  for (const [number, made] of cases.entries()) {
    test(JSON.stringify(made), async (t) => {
      const options = optionsOf(made);
      const output = join(await scratch(t), "merged");
      await merge({ ...options, output, workers: number % 3 });
      for (const [name, merged] of readModel(output)) {
        const delta = valuesOf(/** @type {any} */ (expected.get(`${number}.${name}`)));
        const exact = valuesOf(/** @type {any} */ (before.get(name))).map((value, at) => value + delta[at]);
        const slack = 5e-7 * largest(exact);
        valuesOf(merged).forEach((value, at) => assert.ok(Math.abs(value - exact[at]) <= slack, `${name}[${at}] is ${value}, exactly ${exact[at]}`));
      }
    });
  }
});

/** One case of each method and flavor. */
const each = [...new Map(cases.filter((/** @type {any} */ { adapters }) => adapters !== 7).map((/** @type {any} */ made) => [`${made.method} ${made.flavor}`, made])).values()];

describe("the command line asks for the same", { concurrency: 2 }, () => {
  const special = cases.filter((/** @type {any} */ { majoritySign, densities, normalize, gamma }) => majoritySign ?? densities ?? gamma ?? normalize !== undefined);
  for (const made of [...new Set([...each, ...special])]) {
    test(JSON.stringify(made), async (t) => {
      const options = optionsOf(made);
      const output = join(await scratch(t), "merged");
      assert.equal(await mergeHere([...flagsOf(options), "--out", output]), 0);
      const result = await merge({ ...options, workers: 0 });
      assert.deepEqual(await snapshot(output), await hashes(result));
      const { recipe } = result.report;
      const { method, density, majoritySign, seed, random, normalize, flavor } = /** @type {any} */ (recipe);
      assert.deepEqual({ method, density, normalize, flavor }, { method: options.method, density: options.density, normalize: options.normalize, flavor: options.flavor });
      assert.equal(majoritySign, /ties$|^della$/.test(method) ? (options.majoritySign ?? "total") : undefined);
      assert.deepEqual([seed, /Philox/.test(random ?? "")], DRAWS.has(method) ? [options.seed, true] : [undefined, false]);
      assert.deepEqual(recipe.adapters.map(({ density }) => density), options.adapters.map((/** @type {any} */ { density }) => density));
    });
  }
});

test("workers, blocks, parts and ranges do not show, where tensors are large and one adapter needs the base", async (t) => {
  const place = await scratch(t);
  const model = await doraModel(place);
  const options = { base: model.base, adapters: [{ source: model.one, weight: 0.6 }, { source: model.plain, weight: 0.8 }, { source: model.other, weight: -0.3 }] };
  for (const method of /** @type {const} */ (["ties", "dare_ties"])) {
    const asked = { ...options, method, density: 0.3, ...(method === "dare_ties" && { flavor: /** @type {const} */ ("mergekit") }) };
    const expected = await hashes(await merge({ ...asked, workers: 1 }));
    for (const workers of [0, 2, 3]) {
      const memoryBudget = workers === 2 ? 9 << 20 : 64 << 20;
      assert.deepEqual(await hashes(await merge({ ...asked, workers, memoryBudget })), expected, `${method}: ${workers} workers`);
    }
    const output = join(place, method);
    for (const part of [2, 1, 3]) await mergePart({ ...asked, output }, { part, of: 3 });
    await finishParts(output);
    assert.deepEqual(await snapshot(output), expected, `${method}: parts`);
    const opened = await openMerged(asked);
    const draw = random(5);
    for (const { name, size } of opened.files) {
      const whole = readFileSync(join(output, name));
      assert.equal(sha256(whole), expected[name]);
      // All at the same time, so that readers gather the facts of one weight beside each other.
      const ranges = Array.from({ length: 12 }, () => Math.floor(draw() * size)).map((start) => [start, Math.min(size, start + 1 + Math.floor(draw() * 70_000))]);
      const read = await Promise.all(ranges.map(([start, end]) => opened.read(name, start, end)));
      read.forEach((bytes, at) => assert.ok(whole.subarray(ranges[at][0], ranges[at][1]).equals(bytes), `${method}: ${name} ${ranges[at]}`));
    }
    opened.close();
  }
});

const two = () => [0, 1].map((at) => join(folder, adapters[at]));

/** What is asked, and what the error says. @type {[options: any, field: string, says: RegExp][]} */
const WRONG = [
  [{ method: "ties" }, "density", /method ties needs the share of each delta that is kept; give density/],
  [{ method: "tis", density: 0.5 }, "method", /"tis" is none of linear, magnitude_prune, ties/],
  [{ method: "ties", density: 0 }, "density", /above 0 and at most 1, not 0/],
  [{ method: "ties", density: 1.5 }, "density", /above 0 and at most 1, not 1\.5/],
  [{ method: "ties", density: NaN }, "density", /NaN is not a number above 0/],
  [{ method: "ties", density: "0.5" }, "density", /"0.5" is not a number above 0/],
  [{ density: 0.5 }, "density", /linear does not use it/],
  [{ method: "dare_linear", density: 0.5, majoritySign: "total" }, "majoritySign", /dare_linear does not use it: it elects no signs/],
  [{ method: "ties", density: 0.5, majoritySign: "most" }, "majoritySign", /"most" is none of total, frequency/],
  [{ method: "dare_ties", density: 0.5, seed: -1 }, "seed", /-1 is not a whole number/],
  [{ normalize: true }, "normalize", /linear does not use it/],
  [{ flavor: "mergekit" }, "flavor", /linear does not use it/],
  [{ method: "ties", density: 0.5, flavor: "vanilla" }, "flavor", /"vanilla" is none of peft, mergekit/],
  [{ adapters: [{ source: two()[0], density: 0.4 }] }, "density", /linear does not use it: it prunes nothing/],
];

test("what a method has no use for, or lacks, is an error", async () => {
  for (const [options, field, says] of WRONG) {
    await assert.rejects(plan({ base, adapters: two(), ...options }), (/** @type {any} */ error) => {
      assert.deepEqual([error.code, error.facts.field], ["bad-option", field], `${JSON.stringify(options)}: ${error}`);
      assert.match(error.message, says);
      return true;
    });
  }
});

test("values that an adapter brings are no deltas", async () => {
  const saved = join(FIXTURES, "modules-to-save-two");
  const model = { base: join(saved, "base"), adapters: [join(saved, "adapter-0"), join(saved, "adapter-1")] };
  await assert.rejects(plan({ ...model, method: "ties", density: 0.5 }), (/** @type {any} */ error) => {
    assert.equal(error.code, "unsupported");
    assert.match(error.message, /brings values of its own.*no delta which ties could combine.*merge with method linear, or leave the tensor out by skip/);
    return true;
  });
  // Without those tensors, or with one adapter alone, there is nothing to refuse.
  await plan({ ...model, method: "ties", density: 0.5, skip: "norm" });
  await plan({ ...model, adapters: model.adapters.slice(0, 1), method: "ties", density: 0.5 });
});
