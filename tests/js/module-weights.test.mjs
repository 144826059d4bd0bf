// @ts-check
// Factors on an adapter's delta in some of its tensors: the API and the command line give what the crate's tests prove.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { LorafoldError, merge, openMerged, plan } from "../../pkg/node.js";
import { lorafold } from "./command.mjs";
import { readModel } from "./safetensors-file.mjs";
import { hashes, scratch, snapshot, writeFolder } from "./scratch.mjs";
import { asFiles, Q, tinyModel, V } from "./tiny-model.mjs";

const { base, adapter } = tinyModel();

/** @param {import("../../pkg/node.js").AdapterSettings} settings */
const options = (settings) => ({ base: asFiles(base), adapters: [{ source: asFiles(adapter), name: "adapter", ...settings }] });

/** What is planned of the tensors: their names, and the weight there. @param {import("../../pkg/node.js").Report} report */
const weights = ({ tensors }) => Object.fromEntries(tensors.flatMap(({ name, adapters }) => (adapters ?? []).map(({ weight }) => [name, weight])));

test("in the API: shown in the report, kept in the recipe", async () => {
  const settings = { weight: 0.5, weights: [{ layers: "0-", weight: 3 }, { match: "v_proj", weight: -1 }] };
  const report = await plan(options(settings));
  assert.deepEqual(weights(report), { [`${Q}.weight`]: 1.5, [`${V}.weight`]: -0.5 });
  assert.deepEqual(report.recipe.adapters[0].weights, settings.weights);
  assert.equal(report.recipe.adapters[0].weight, 0.5);
  const left = await plan(options({ only: ["q_proj"] }));
  assert.deepEqual([weights(left), left.adapters[0].leftOut, left.adapters[0].matched], [{ [`${Q}.weight`]: 1 }, [`${V}.weight`], 1]);
  assert.deepEqual((await plan(options({ skip: ["q_proj"] }))).adapters[0].leftOut, [`${Q}.weight`]);
  const opened = await openMerged(options(settings));
  const merged = await merge({ ...options(settings), workers: 2 });
  const file = merged.files.find(({ name }) => name === "model.safetensors");
  assert.deepEqual(new Uint8Array(await (/** @type {any} */ (await file?.blob())).arrayBuffer()), await opened.read("model.safetensors"));
  opened.close();
});

test("what is wrong or matches nothing is refused", async () => {
  const refused = async (/** @type {any} */ settings, /** @type {string} */ field, /** @type {string | undefined} */ kind) =>
    assert.rejects(plan(options(settings)), (error) => {
      assert.ok(error instanceof LorafoldError);
      assert.deepEqual([error.code, error.facts?.field, error.facts?.kind], ["bad-option", field, kind], error.message);
      return true;
    });
  await refused({ weights: [{ match: "k_proj", weight: 1 }] }, "weights", "unmatched-pattern");
  await refused({ only: ["k_proj"] }, "only", "unmatched-pattern");
  await refused({ blockWeights: "MIDD" }, "blockWeights", "unmatched-pattern");
  await refused({ blockWeights: "SOME" }, "blockWeights", undefined);
  await refused({ weights: [{ match: "(", weight: 1 }] }, "weights", undefined);
  await assert.rejects(plan(options(/** @type {any} */ ({ weights: [{ module: "q_proj", weight: 1 }] }))), { code: "bad-option" });
});

test("on the command line, for the adapter before them", async (t) => {
  const folder = await scratch(t);
  const paths = [await writeFolder(join(folder, "base"), base), await writeFolder(join(folder, "adapter"), adapter)];
  const run = async (/** @type {string[]} */ ...args) => {
    const out = join(folder, `out-${Math.random()}`);
    const ended = await lorafold(["merge", "--base", paths[0], "--adapter", paths[1], ...args, "--out", out, "--quiet"]);
    return { ...ended, out };
  };
  const first = await run("--weights", "q_proj=0.5", "--weights", "layers:0=2", "--adapter-skip", "v_proj", "--adapter", `${paths[1]}@2`, "--adapter-only", "v_proj");
  assert.equal(first.code, 0, first.stderr);
  const expected = await merge({ base: paths[0], adapters: [{ source: paths[1], weights: [{ match: "q_proj", weight: 0.5 }, { layers: "0", weight: 2 }], skip: ["v_proj"] }, { source: paths[1], weight: 2, only: ["v_proj"] }], workers: 0 });
  assert.deepEqual(await snapshot(first.out), await hashes(expected));
  const whole = await run("--weights", ".=2");
  const doubled = await run("--adapter-only", "no_such_thing");
  assert.deepEqual([whole.code, doubled.code], [0, 1]);
  for (const [name, { bytes }] of readModel(first.out)) assert.ok(bytes.equals(readModel(whole.out).get(name)?.bytes ?? Buffer.alloc(0)), name);
  for (const [text, says] of [["q_proj", /write PATTERN=NUMBER/], ["=1", /write PATTERN=NUMBER/], ["q=x", /write PATTERN=NUMBER/]]) {
    const { code, stderr } = await run("--weights", /** @type {string} */ (text));
    assert.equal(code, 2);
    assert.match(stderr, /** @type {RegExp} */ (says));
  }
  const lost = await lorafold(["merge", "--base", paths[0], "--weights", "q=1", "--adapter", paths[1], "--out", join(folder, "none")]);
  assert.deepEqual([lost.code, /--weights is of the adapter before it/.test(lost.stderr)], [2, true]);
});
