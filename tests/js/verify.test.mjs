// @ts-check
// `verify` from JavaScript and the command line: its verdicts are those of the crate (tests/verify.rs); here, that every way to ask gives them.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { inspect, merge, plan, unmerge, verify } from "../../pkg/node.js";
import { lorafold } from "./command.mjs";
import { FIXTURES } from "./fixture.mjs";
import { buildSafetensors, readModel, readSafetensors } from "./safetensors-file.mjs";
import { scratch } from "./scratch.mjs";

const base = join(FIXTURES, "verified/base");
const lora = join(FIXTURES, "verified/lora");
const other = join(FIXTURES, "verified/other");
const dora = join(FIXTURES, "verified/dora");

describe("verify", { concurrency: 2 }, () => {
  test("the same verdict with any workers, from paths and Blobs", async (t) => {
    const out = join(await scratch(t), "out");
    await merge({ base, adapters: [lora, { source: other, weight: -0.5 }], output: out });
    /** @type {{ tensors: number, total: number }[]} */
    const seen = [];
    const report = await verify({ base, adapters: [lora, { source: other, weight: -0.5 }], merged: out, workers: 2, onProgress: (progress) => seen.push(progress) });
    assert.equal(report.verdict, "bits");
    assert.deepEqual(report.adapters, [{ name: "lora", weight: 1 }, { name: "other", weight: -0.5 }]);
    assert.equal(report.counts.bits, report.tensors.length);
    assert.deepEqual(report.tensors.filter(({ merged }) => merged).map(({ name }) => name), ["model.layers.0.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.weight"]);
    assert.ok(seen.length > 0 && seen.at(-1)?.tensors === report.tensors.length, JSON.stringify(seen));
    const files = await Promise.all(["config.json", "model.safetensors"].map(async (name) => new File([await readFile(join(out, name))], name)));
    const ofFiles = await verify({ base, adapters: [lora, { source: other, weight: -0.5 }], merged: files, workers: 0 });
    assert.deepEqual({ ...ofFiles, merged: "out" }, report);

    const wrong = await verify({ base, adapters: [lora, other], merged: out, workers: 0 });
    assert.equal(wrong.verdict, "different");
    assert.deepEqual(wrong.instead, [{ what: "other-weight", adapter: "other", tensors: 2 }]);
    const [least, most] = wrong.tensors.find(({ verdict }) => verdict === "different")?.instead?.[0]?.factor ?? [];
    assert.ok(least !== undefined && most !== undefined && least <= -0.5 && -0.5 <= most && most - least < 0.05, `${least} to ${most}`);
  });

  test("DoRA, whose norms are facts, and PEFT's merges", async (t) => {
    const out = join(await scratch(t), "out");
    await merge({ base, adapters: [dora], output: out });
    assert.equal((await verify({ base, adapters: [dora], merged: out })).verdict, "bits");
    const { instead } = await verify({ base, adapters: [lora], merged: out });
    assert.ok(instead.length > 0);

    // PEFT's safe merge rounds the delta first.
    const { tensors: merges } = readSafetensors(join(FIXTURES, "verified/merges.safetensors"));
    const tensors = [...readModel(base)].map(([name, tensor]) => [name, merges.get(`lora-safe/${name}`) ?? tensor]);
    const file = new File([buildSafetensors(Object.fromEntries(tensors))], "model.safetensors");
    const report = await verify({ base, adapters: [lora], merged: file });
    assert.equal(report.verdict, "rounding");
    assert.deepEqual(new Set(report.tensors.flatMap(({ rounding }) => rounding ?? [])), new Set(["delta-in-bf16"]));
  });

  test("what is asked wrongly is refused", async () => {
    // @ts-expect-error
    await assert.rejects(verify({ base, adapters: [lora] }), { code: "bad-option", message: /merged/ });
    // @ts-expect-error
    await assert.rejects(verify({ base, adapters: [lora], merged: base, output: "x" }), { code: "bad-option" });
    await assert.rejects(verify({ base, adapters: [lora], merged: lora }), { code: "wrong-input" });
    await assert.rejects(verify({ base, adapters: [lora], merged: base, signal: AbortSignal.abort() }), { code: "aborted" });
  });
});

describe("lorafold verify", { concurrency: 2 }, () => {
  test("exit status, text and JSON", async (t) => {
    const out = join(await scratch(t), "out");
    assert.equal((await lorafold(["merge", "-b", base, "-a", lora, "-o", out, "-t", "float32"])).code, 0);
    const good = await lorafold(["verify", "-b", base, "-a", lora, "--merged", out]);
    assert.equal(good.code, 0, good.stderr);
    assert.match(good.stdout, /^verified: out is base \+ 1 × lora, in every bit$/m);
    const bad = await lorafold(["verify", "-b", base, "-a", `${lora}@0.5`, "--merged", out, "--workers", "0"]);
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /^different: out is not base \+ 0\.5 × lora$/m);
    assert.match(bad.stdout, /^2 tensors: applied at weight 1$/m);
    const json = await lorafold(["verify", "-b", base, "-a", lora, "--merged", base, "--json"]);
    assert.equal(json.code, 1);
    const report = JSON.parse(json.stdout);
    assert.deepEqual([report.verdict, report.instead], ["different", [{ what: "not-applied", tensors: 2 }]]);
    assert.equal((await lorafold(["verify", "-b", base, "-a", lora])).code, 2);
  });
});

describe("merges by a method", { concurrency: 2 }, () => {
  const adapters = ["-a", `${lora}@0.7`, "-a", `${other}@0.4`];

  test("are verified, and what they are instead is said", async (t) => {
    const out = join(await scratch(t), "out");
    const ties = ["--method", "ties", "--density", "0.4"];
    assert.equal((await lorafold(["merge", "-b", base, ...adapters, ...ties, "-o", out, "-t", "float32"])).code, 0);
    const good = await lorafold(["verify", "-b", base, ...adapters, ...ties, "--merged", out]);
    assert.deepEqual([good.code, /^verified: out is base .* by ties, in every bit$/m.test(good.stdout)], [0, true], good.stdout + good.stderr);
    const other = await lorafold(["verify", "-b", base, ...adapters, "--method", "ties", "--density", "0.9", "--merged", out, "--json"]);
    assert.equal(other.code, 1);
    const report = JSON.parse(other.stdout);
    assert.deepEqual([report.verdict, new Set(report.instead.map((/** @type {any} */ { what }) => what))], ["different", new Set(["other-density"])]);
    const sum = await lorafold(["verify", "-b", base, ...adapters, "--merged", out]);
    assert.equal(sum.code, 1);
  });

  test("of other random numbers nothing can be said", async (t) => {
    const out = join(await scratch(t), "out");
    const dare = ["--method", "dare_linear", "--density", "0.4"];
    assert.equal((await lorafold(["merge", "-b", base, ...adapters, ...dare, "--seed", "5", "-o", out, "-t", "float32"])).code, 0);
    assert.equal((await lorafold(["verify", "-b", base, ...adapters, ...dare, "--seed", "5", "--merged", out])).code, 0);
    const { code, stdout } = await lorafold(["verify", "-b", base, ...adapters, ...dare, "--merged", out]);
    assert.equal(code, 1);
    assert.match(stdout, /^undecidable: out may be that: it keeps other random values of the deltas, as many as it should$/m);
  });
});

describe("unmerge", { concurrency: 2 }, () => {
  test("the base comes back, and what does not is counted", async (t) => {
    const folder = await scratch(t);
    const [out, back] = [join(folder, "out"), join(folder, "back")];
    await merge({ base, adapters: [{ source: lora, weight: 0.5 }], output: out });
    const { inexact, report } = await unmerge({ merged: out, adapters: [{ source: lora, weight: 0.5 }], output: back });
    assert.equal(report.merged, 2);
    const blobs = await unmerge({ merged: out, adapters: [{ source: lora, weight: 0.5 }], workers: 0 });
    assert.deepEqual(blobs.inexact, inexact);
    // The count is that of merging again.
    await merge({ base: back, adapters: [{ source: lora, weight: 0.5 }], output: join(folder, "again") });
    const [before, after] = [readModel(out), readModel(join(folder, "again"))];
    for (const [name, { bytes }] of before) {
      const again = after.get(name)?.bytes ?? Buffer.alloc(0);
      let different = 0;
      for (let at = 0; at < bytes.length; at += 2) if (bytes.readUInt16LE(at) !== again.readUInt16LE(at)) different++;
      assert.equal(inexact?.find((one) => one.name === name)?.inexact ?? 0, different, name);
    }
    assert.equal((await inspect(back)).kind, "base");
    assert.equal((await inspect(out)).kind, "merged");
    await assert.rejects(unmerge({ merged: out, adapters: [dora] }), { code: "unsupported", message: /dora cannot be taken back/ });
    // @ts-expect-error
    await assert.rejects(unmerge({ base, adapters: [lora] }), { code: "bad-option" });
  });

  test("what the recipe does not name is refused, and what is in it already is told", async (t) => {
    const folder = await scratch(t);
    const [out, back] = [join(folder, "out"), join(folder, "back")];
    const { report } = await merge({ base, adapters: [lora], output: out });
    assert.ok(!report.findings.some(({ code }) => code === "already-merged" || code === "repeated-adapter"));
    for (const [adapter, message] of /** @type {const} */ ([[{ source: lora, weight: 0.5 }, /out: its recipe says weight 1, and not 0\.5; .*allowUnmatched/], [other, /its recipe does not name this adapter/]])) {
      await assert.rejects(unmerge({ merged: out, adapters: [adapter], output: back }), { code: "base-mismatch", message });
    }
    const allowed = await unmerge({ merged: out, adapters: [other], allowUnmatched: true, workers: 0 });
    assert.ok(allowed.report.findings.some(({ code }) => code === "recipe-mismatch"));
    const unknown = await unmerge({ merged: base, adapters: [lora], workers: 0 });
    assert.match(unknown.report.findings.find(({ code }) => code === "no-recipe")?.message ?? "", /base has no recipe: nothing tells that this adapter is in it/);
    const again = await plan({ base: out, adapters: [lora, lora] });
    for (const code of ["already-merged", "repeated-adapter"]) assert.ok(again.findings.some((finding) => finding.code === code), code);
    const { code, stdout } = await lorafold(["unmerge", "--merged", out, "-a", `${other}@1`, "-o", back]);
    assert.deepEqual([code, stdout], [1, ""]);
    const { stdout: said } = await lorafold(["verify", "-b", out, "-a", lora, "--merged", base]);
    assert.match(said, /the base has the recipe of a merge, and the merged model has none: they may be swapped/);
    await assert.rejects(verify({ base, adapters: [lora], merged: lora, workers: 0 }), { code: "wrong-input", message: /this is an adapter, not the merged model: .*; give the merged model in its place/ });
    const ties = join(folder, "ties");
    await merge({ base, adapters: [lora, other], method: "ties", density: 0.5, output: ties });
    const { findings } = await verify({ base, adapters: [lora, other], merged: ties, workers: 0 });
    assert.match(findings.find((finding) => finding.code === "other-method")?.message ?? "", /recipe says --method ties, and not linear/);
  });

  test("the command line", async (t) => {
    const folder = await scratch(t);
    const [out, back] = [join(folder, "out"), join(folder, "back")];
    assert.equal((await lorafold(["merge", "-b", base, "-a", lora, "-o", out, "-t", "float32"])).code, 0);
    const { code, stdout, stderr } = await lorafold(["unmerge", "--merged", out, "-a", lora, "-o", back, "--json"]);
    assert.equal(code, 0, stderr);
    const { inexact, merged } = JSON.parse(stdout);
    assert.ok(merged === 2 && Array.isArray(inexact));
    assert.equal((await lorafold(["unmerge", "--merged", out, "-a", lora])).code, 2);
    assert.match((await lorafold(["unmerge", "--merged", out, "-a", lora, "-o", back, "--force"])).stdout, /^unmerged 2 tensors of \d+ into /);
  });
});
