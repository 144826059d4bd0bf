// @ts-check
// What people's folders hold, on the command line: tests/inputs.rs has the rest.
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { lorafold } from "./command.mjs";
import { fixture } from "./fixture.mjs";
import { scratch, writeFolder } from "./scratch.mjs";
import { tinyModel } from "./tiny-model.mjs";

/** @param {import("node:test").TestContext} t @param {(model: ReturnType<typeof tinyModel>) => void} [change] */
async function folders(t, change) {
  const folder = await scratch(t);
  const model = tinyModel();
  change?.(model);
  const base = await writeFolder(join(folder, "base"), model.base);
  const adapter = await writeFolder(join(folder, "adapter"), model.adapter);
  const out = join(folder, "out");
  /** @param {string[]} words */
  const merge = (...words) => lorafold(["merge", "--base", base, "--adapter", adapter, "--out", out, "--quiet", ...words]);
  return { base, adapter, out, merge };
}

test("a shard of any name is merged, and no other file takes its place", async (t) => {
  for (const name of ["weights.dat", "README.md", "__proto__", "constructor"]) {
    const { out, merge } = await folders(t, ({ base }) => {
      const weights = base["model.safetensors"];
      const length = Number(weights.readBigUInt64LE(0));
      const tensors = Object.keys(JSON.parse(weights.subarray(8, 8 + length).toString())).filter((tensor) => tensor !== "__metadata__");
      delete base["model.safetensors"];
      Object.defineProperty(base, name, { value: weights, enumerable: true });
      base["model.safetensors.index.json"] = Buffer.from(`{"weight_map":{${tensors.map((tensor) => `${JSON.stringify(tensor)}:${JSON.stringify(name)}`).join(",")}}}`);
    });
    const { code, stderr } = await merge();
    assert.equal(code, 0, stderr);
    const merged = await readFile(join(out, name));
    assert.match(merged.subarray(8, 8 + Number(merged.readBigUInt64LE(0))).toString(), /lorafold\.recipe/);
  }
});

test("trained weights beside an adapter are refused until they are allowed", async (t) => {
  const { adapter, merge } = await folders(t);
  await writeFile(join(adapter, "non_lora_trainables.bin"), "x");
  const refused = await merge();
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /adapter\/non_lora_trainables\.bin.*--allow-unmerged/);
  const { code, stdout, stderr } = await merge("--allow-unmerged", "--json");
  assert.equal(code, 0, stderr);
  assert.ok(JSON.parse(stdout).findings.some((/** @type {any} */ { code }) => code === "unmerged-weights"));
});

test("--tokenizer says whose tokenizer stands beside the weights", async (t) => {
  const { adapter, out, merge } = await folders(t);
  await writeFile(join(adapter, "tokenizer.json"), '{"mine":1}');
  const kept = await merge("--json");
  assert.equal(kept.code, 0, kept.stderr);
  assert.ok(JSON.parse(kept.stdout).findings.some((/** @type {any} */ { code, message }) => code === "tokenizer-differs" && message.includes("tokenizer.json")));
  assert.notEqual(await readFile(join(out, "tokenizer.json"), "utf8"), '{"mine":1}');
  const taken = await merge("--tokenizer", "adapter", "--force");
  assert.equal(taken.code, 0, taken.stderr);
  assert.equal(await readFile(join(out, "tokenizer.json"), "utf8"), '{"mine":1}');
});

test("a folder of checkpoints says which one to give", async (t) => {
  const { adapter, merge } = await folders(t);
  const names = await readdir(adapter);
  for (const checkpoint of ["checkpoint-500", "checkpoint-1000"]) {
    await mkdir(join(adapter, checkpoint));
    for (const name of names) await writeFile(join(adapter, checkpoint, name), await readFile(join(adapter, name)));
  }
  for (const name of names) await rm(join(adapter, name));
  const { code, stderr } = await merge();
  assert.equal(code, 1);
  assert.match(stderr, /give one of them: adapter\/checkpoint-1000$/m);
});

test("what PEFT can merge and lorafold cannot comes with the lines that do it", async (t) => {
  const { merge } = await folders(t, ({ adapter }) => {
    adapter["adapter_config.json"] = Buffer.from(JSON.stringify({ ...JSON.parse(adapter["adapter_config.json"].toString()), kasa_config: { x: 1 } }));
  });
  const { code, stderr } = await merge();
  assert.equal(code, 1);
  assert.match(stderr, /KaSA[^]*In Python:[^]*merge_and_unload/);
});

test("what PEFT cannot merge, either, comes without them", async (t) => {
  for (const [field, value, says] of [["alora_invocation_tokens", [1], /aLoRA/], ["use_qalora", true, /QA-LoRA/], ["init_lora_weights", "lora_ga", /--residual-base/]]) {
    const { merge } = await folders(t, ({ adapter }) => {
      const config = JSON.parse(adapter["adapter_config.json"].toString());
      adapter["adapter_config.json"] = Buffer.from(JSON.stringify({ ...config, [/** @type {string} */ (field)]: value }));
    });
    const { code, stderr } = await merge();
    assert.equal(code, 1);
    assert.match(stderr, /** @type {RegExp} */ (says));
    assert.doesNotMatch(stderr, /Python/);
  }
});

test("an output layer that was to be untied is not said to be as in the training", async () => {
  const { base, adapters: [{ path }] } = fixture("tied-embedding");
  const untied = async (/** @type {string[]} */ ...more) => {
    const { stdout, stderr } = await lorafold(["merge", "--base", base, "--adapter", path, "--dry-run", ...more]);
    return stdout + stderr;
  };
  assert.match(await untied(), /\[untied\][^\n]*that it had in training/);
  assert.match(await untied("--tied", "untie"), /\[untied\][^\n]*as was asked for/);
});
