// @ts-check
// What the report says of the signal that rounding keeps, without statistics and with them, and the warning.
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { merge, plan } from "../../pkg/node.js";
import { lorafold } from "./command.mjs";
import { encode } from "./numbers.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";
import { scratch, writeFolder } from "./scratch.mjs";

/** About normal numbers from a small generator. @param {number} seed */
function normals(seed) {
  const unit = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5;
  return () => Array.from({ length: 12 }, unit).reduce((sum, value) => sum + value, 0);
}

const [ROWS, COLS, RANK] = [1024, 512, 4];

/** A base and an adapter whose delta is `relative` times as large. @param {string} folder @param {number} relative @param {"BF16" | "F32"} dtype */
async function model(folder, relative, dtype = "BF16") {
  const next = normals(1);
  /** @param {number} count @param {number} deviation */
  const values = (count, deviation) => Float64Array.from({ length: count }, () => next() * deviation);
  const weight = encode(values(ROWS * COLS, 0.02), dtype);
  const [a, b] = [encode(values(RANK * COLS, 1), "F32"), encode(values(ROWS * RANK, (relative * 0.02) / Math.sqrt(RANK)), "F32")];
  const key = "base_model.model.model.layers.0.self_attn.q_proj";
  const base = await writeFolder(join(folder, "base"), {
    "config.json": '{"model_type":"llama"}',
    "model.safetensors": buildSafetensors({ "model.layers.0.self_attn.q_proj.weight": { dtype, shape: [ROWS, COLS], bytes: weight } }),
  });
  const adapter = await writeFolder(join(folder, "adapter"), {
    "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: RANK, lora_alpha: RANK, target_modules: ["q_proj"] }),
    "adapter_model.safetensors": buildSafetensors({
      [`${key}.lora_A.weight`]: { dtype: "F32", shape: [RANK, COLS], bytes: a },
      [`${key}.lora_B.weight`]: { dtype: "F32", shape: [ROWS, RANK], bytes: b },
    }),
  });
  return { base, adapters: [adapter], output: join(folder, "out"), force: true };
}

describe("signal kept", () => {
  test("an estimate beside every merge, the number itself with statistics", async (t) => {
    const options = await model(await scratch(t), 0.001);
    const { report } = await merge({ ...options, workers: 2 });
    const { report: exact } = await merge({ ...options, statistics: true });
    const { signal, tensors: [tensor] } = report;
    assert.ok(signal && tensor?.signal && exact.signal && exact.tensors[0]?.statistics);
    assert.equal(tensor.statistics, undefined);
    const [kept, margin] = [signal.kept ?? NaN, signal.margin ?? NaN];
    assert.ok(kept > 0.4 && kept < 0.7 && margin > 0 && margin < 0.2, JSON.stringify(signal));
    assert.ok(Math.abs(kept - (exact.signal.kept ?? NaN)) <= 2 * margin, `${kept} ± ${margin}, ${exact.signal.kept}`);
    assert.equal(exact.signal.kept, exact.tensors[0].statistics.signalKept);
    assert.deepEqual([exact.signal.margin, exact.signal.sampled], [0, 1]);
    assert.ok((signal.sampled ?? NaN) < 0.1);
    assert.deepEqual([signal.least, signal.leastKept], [tensor.name, tensor.signal.kept]);
    // Any workers look at the same elements.
    const { report: other } = await merge({ ...options, workers: 1 });
    assert.deepEqual(other.signal, signal);
  });

  test("little of it is a warning that says what helps", async (t) => {
    const options = await model(await scratch(t), 0.0001);
    const { report: { findings } } = await merge(options);
    const lost = findings.find(({ code }) => code === "signal-lost");
    assert.ok(lost);
    assert.equal(lost.level, "warning");
    assert.match(lost.message, /^rounding to BF16 keeps \d\.\d % of the deltas \(± .*float32.*stochastic/);
    for (const better of /** @type {const} */ ([{ rounding: "stochastic" }, { dtype: "float32" }])) {
      const { report } = await merge({ ...options, ...better });
      assert.ok(!report.findings.some(({ code }) => code === "signal-lost"), JSON.stringify(report.signal));
      assert.ok(Math.abs((report.signal?.kept ?? NaN) - 1) < 0.2, JSON.stringify(report.signal));
    }
  });

  test("a plan says nothing of it", async (t) => {
    const { output: _, force: __, ...options } = await model(await scratch(t), 0.0001);
    const report = await plan(options);
    assert.equal(report.signal, undefined);
    assert.ok(!report.findings.some(({ code }) => code === "signal-lost"));
  });

  test("the command line says it, and JSON has it", async (t) => {
    const folder = await scratch(t);
    const { base, adapters: [adapter = ""], output } = await model(folder, 0.001);
    const args = ["merge", "--base", base, "--adapter", adapter, "--out", output, "--quiet", "--force"];
    const plain = await lorafold(args);
    assert.match(plain.stdout, /\nrounding kept \d\d\.\d % of the change \(± \d+\.\d %, from \d\.\d % of the elements; worst tensor: \d\d\.\d %\)\n/);
    assert.match(plain.stdout, /warning \[signal-lost\]: /);
    const exact = await lorafold([...args, "--report", join(folder, "report.json")]);
    assert.match(exact.stdout, /\nrounding kept \d\d\.\d % of the change \(worst tensor: \d\d\.\d %\)\n/);
    const json = JSON.parse((await lorafold([...args, "--json"])).stdout);
    assert.equal(json.signal.kept, json.tensors[0].statistics.signalKept);
    assert.equal(json.tensors[0].signal.kept, json.signal.kept);
  });
});
