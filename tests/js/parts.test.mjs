// @ts-check
// One model merged by many processes that share nothing but a folder.
import assert from "node:assert/strict";
import { copyFile, cp, open, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { finishParts, merge, mergePart } from "../../pkg/node.js";
import { lorafold, start } from "./command.mjs";
import { FIXTURES } from "./fixture.mjs";
import { random } from "./numbers.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";
import { scratch, snapshot, writeFolder } from "./scratch.mjs";
import { factor, Q, V } from "./tiny-model.mjs";

/** Several MB in two shards: parts begin at multiples of 1 MiB. @param {string} folder */
async function model(folder) {
  const next = random(9);
  const tensor = (/** @type {number[]} */ shape, dtype = "BF16") => ({ dtype, shape, bytes: Uint8Array.from({ length: shape.reduce((a, b) => a * b) * (dtype === "F32" ? 4 : 2) }, (_, i) => (i % 2 ? 0x3c : Math.floor(next() * 256))) });
  /** @type {Record<string, import("./safetensors-file.mjs").NewTensor>[]} */
  const shards = [
    { [`${Q}.weight`]: tensor([1024, 768]), "model.norm.weight": tensor([768]) },
    { [`${V}.weight`]: tensor([512, 768], "F32"), "lm_head.weight": tensor([1500, 768]) },
  ];
  /** @type {Record<string, string>} */
  const map = {};
  /** @type {Record<string, Uint8Array | string>} */
  const base = { "config.json": '{"tie_word_embeddings":false}', "empty.txt": "" };
  for (const [i, shard] of shards.entries()) {
    const name = `model-0000${i + 1}-of-00002.safetensors`;
    base[name] = buildSafetensors(shard);
    for (const key of Object.keys(shard)) map[key] = name;
  }
  base["model.safetensors.index.json"] = JSON.stringify({ metadata: {}, weight_map: map });
  const values = (/** @type {number} */ count) => Array.from({ length: count }, () => next() - 0.5);
  const adapter = {
    "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: 4, lora_alpha: 8 }),
    "adapter_model.safetensors": buildSafetensors({
      [factor(Q, "A")]: { dtype: "F32", shape: [4, 768], values: values(3072) }, [factor(Q, "B")]: { dtype: "F32", shape: [1024, 4], values: values(4096) },
      [factor(V, "A")]: { dtype: "F32", shape: [4, 768], values: values(3072) }, [factor(V, "B")]: { dtype: "F32", shape: [512, 4], values: values(2048) },
    }),
  };
  return { base: await writeFolder(join(folder, "base"), base), adapters: [await writeFolder(join(folder, "adapter"), adapter)] };
}

/** The visible files. @param {string} folder */
const visible = async (folder) => Object.fromEntries(Object.entries(await snapshot(folder)).filter(([name]) => !name.startsWith(".")));

/** @param {{ after: (hook: () => Promise<void>) => void }} t */
async function prepared(t) {
  const folder = await scratch(t);
  const options = await model(folder);
  await merge({ ...options, output: join(folder, "whole") });
  return { options, expected: await snapshot(join(folder, "whole")), output: join(folder, "out"), folder };
}

test("any number of parts, in any order, some of them twice", async (t) => {
  const { options, expected, folder } = await prepared(t);
  for (const of of [1, 2, 3, 5, 40]) {
    const output = join(folder, `of-${of}`);
    const next = random(of);
    const order = Array.from({ length: of }, (_, i) => i + 1).sort(() => next() - 0.5);
    let bytes = 0;
    for (const part of [...order, order[0]]) bytes += (await mergePart({ ...options, output, workers: part % 2 }, { part, of })).bytes;
    assert.deepEqual(await visible(output), {}, "nothing looks finished");
    assert.ok(bytes > 0);
    const files = await finishParts(output);
    assert.deepEqual(await snapshot(output), expected, `${of} parts`);
    assert.deepEqual(files.map(({ name }) => name).sort(), Object.keys(expected).sort());
  }
});

test("parts that run at the same time, as a cluster runs them", async (t) => {
  const { options, expected, output } = await prepared(t);
  const args = ["merge", "--base", options.base, "--adapter", options.adapters[0], "--out", output, "--quiet"];
  const ended = await Promise.all(["1/3", "2/3", "3/3", "2/3"].map((part) => lorafold([...args, "--part", part, "--json"])));
  assert.deepEqual(ended.map(({ code }) => code), [0, 0, 0, 0], ended.map(({ stderr }) => stderr).join());
  assert.equal(new Set(ended.map(({ stdout }) => JSON.parse(stdout).identity)).size, 1);
  const finished = await lorafold([...args, "--finish", "--json"]);
  assert.equal(finished.code, 0, finished.stderr);
  assert.equal(JSON.parse(finished.stdout).files.length, Object.keys(expected).length);
  assert.deepEqual(await snapshot(output), expected);
});

test("a part that is missing, or was killed, is asked for", async (t) => {
  const { options, expected, output } = await prepared(t);
  await assert.rejects(finishParts(output), { code: "bad-option" });
  await mergePart({ ...options, output }, { part: 1, of: 3 });
  const { child, ended } = start(["merge", "--base", options.base, "--adapter", options.adapters[0], "--out", output, "--part", "3/3"]);
  child.kill("SIGKILL");
  await ended;
  await assert.rejects(finishParts(output), { code: "truncated", message: /missing: 2(, 3)?$/ });
  assert.deepEqual(await visible(output), {});
  await mergePart({ ...options, output }, { part: 2, of: 3 });
  await mergePart({ ...options, output }, { part: 3, of: 3 });
  await finishParts(output, { merge: options });
  assert.deepEqual(await snapshot(output), expected);
});

test("a part whose bytes were damaged is found, and only that one is merged again", async (t) => {
  const { options, expected, output } = await prepared(t);
  for (const part of [1, 2, 3]) await mergePart({ ...options, output }, { part, of: 3 });
  const file = await open(join(output, ".model-00002-of-00002.safetensors.partial"), "r+");
  await file.write(new Uint8Array([1, 2, 3]), 0, 3, 3_500_000);
  await file.close();
  const damaged = await finishParts(output).catch((/** @type {any} */ error) => error);
  assert.equal(damaged.code, "truncated");
  const [, part] = /part (\d) of 3 wrote; merge that part again/.exec(damaged.message) ?? [];
  assert.deepEqual(await visible(output), {});
  await assert.rejects(finishParts(output), { code: "truncated", message: new RegExp(`missing: ${part}$`) });
  await mergePart({ ...options, output }, { part: Number(part), of: 3 });
  await finishParts(output);
  assert.deepEqual(await snapshot(output), expected);
});

test("parts of different merges do not become one model", async (t) => {
  const { options, expected, output } = await prepared(t);
  const other = { ...options, adapters: [{ source: options.adapters[0], weight: 0.5 }] };
  await mergePart({ ...options, output }, { part: 1, of: 2 });
  await assert.rejects(mergePart({ ...other, output }, { part: 2, of: 2 }), { code: "bad-option", message: /another merge/ });
  await assert.rejects(mergePart({ ...options, output }, { part: 2, of: 3 }), { code: "bad-option", message: /another merge/ });
  await mergePart({ ...options, output }, { part: 2, of: 2 });
  await assert.rejects(finishParts(output, { merge: other }), { code: "bad-option", message: /another merge/ });
  await finishParts(output, { merge: options });
  assert.deepEqual(await snapshot(output), expected);
  // A finished model is not merged over, unless that is wanted.
  await assert.rejects(mergePart({ ...options, output }, { part: 1, of: 1 }), { code: "bad-option", message: /force/ });
  await mergePart({ ...other, output, force: true }, { part: 1, of: 1 });
  await finishParts(output, { force: true });
  assert.notDeepEqual(await snapshot(output), expected);
  assert.deepEqual(Object.keys(await snapshot(output)), Object.keys(expected));
});

test("a finish that was stopped half way is finished by the next", async (t) => {
  const { options, expected, output } = await prepared(t);
  for (const part of [1, 2]) await mergePart({ ...options, output }, { part, of: 2 });
  const name = "model-00001-of-00002.safetensors";
  await rename(join(output, `.${name}.partial`), join(output, name));
  await finishParts(output);
  assert.deepEqual(await snapshot(output), expected);
});

test("a receipt that is no receipt, and a file that is gone, are said", async (t) => {
  const { options, output } = await prepared(t);
  await mergePart({ ...options, output }, { part: 1, of: 1 });
  const receipt = (await readdir(output)).find((name) => name.startsWith(".lorafold-part")) ?? "";
  await copyFile(join(output, receipt), join(output, "kept"));
  await writeFile(join(output, receipt), "{");
  await assert.rejects(finishParts(output), { code: "bad-config", message: /lorafold-part/ });
  await rename(join(output, "kept"), join(output, receipt));
  await rm(join(output, ".config.json.partial"));
  await assert.rejects(finishParts(output), { code: "truncated", message: /config\.json/ });
});

test("what is no part is refused", async (t) => {
  const folder = await scratch(t);
  const base = join(FIXTURES, "sample", "tiny-llama");
  const adapter = join(FIXTURES, "sample", "storyteller-lora");
  for (const part of [{ part: 0, of: 2 }, { part: 3, of: 2 }, { part: 1.5, of: 2 }, { part: 1, of: Number.NaN }]) {
    await assert.rejects(mergePart({ base, adapters: [adapter], output: join(folder, "out") }, part), { code: "bad-option" });
  }
  await assert.rejects(mergePart({ base, adapters: [adapter], output: base }, { part: 1, of: 1 }), { code: "bad-option", message: /reads/ });
  const args = ["merge", "--base", base, "--adapter", adapter, "--out", join(folder, "out")];
  for (const words of [["--part", "0/2"], ["--part", "3/2"], ["--part", "x"], ["--part", "1/2", "--finish"], ["--part", "1/2", "--report", join(folder, "r")]]) {
    assert.equal((await lorafold([...args, ...words])).code, 2, words.join(" "));
  }
  assert.match((await lorafold([...args, "--part", "1/99999999999"])).stderr, /error \[bad-option\].*10000 at most/);
  const unclear = /** @type {any[][]} */ ([[], [{ base, adapters: [adapter], output: join(folder, "out") }], [{ base, adapters: [adapter] }, { part: 1, of: 1 }]]);
  for (const given of unclear) await assert.rejects(mergePart(.../** @type {[any, any]} */ (given)), { name: "LorafoldError", code: "bad-option" });
  assert.deepEqual(await snapshot(folder), {});
});

test("--finish says which flags it does not take", async (t) => {
  const out = await scratch(t);
  for (const words of [["--report", "r"], ["--workers", "2"], ["--memory-budget", "64MiB"], ["--dry-run"], ["--dtype", "f16"], ["--adapter", "x"], ["--only", "x"]]) {
    const { code, stderr } = await lorafold(["merge", "--out", out, "--finish", ...words]);
    assert.equal(code, 2, words.join(" "));
    assert.match(stderr, /^lorafold merge: (--base is missing|--finish goes without)/);
  }
});

test("receipts that are none are said, and replaced where that is wanted", async (t) => {
  const { options, expected, output } = await prepared(t);
  await mergePart({ ...options, output }, { part: 1, of: 1 });
  const name = ".lorafold-part-1-of-1.json";
  const good = JSON.parse(await readFile(join(output, name), "utf8"));
  const others = [{}, null, [], "", { ...good, files: [] }, { ...good, files: [{ name: "../x", size: 1 }] }, { ...good, of: 2 }, { ...good, inputs: undefined }, { ...good, written: [null] }, { ...good, of: 1e9 }];
  for (const other of [...others.map((other) => JSON.stringify(other)), "", "\0"]) {
    await writeFile(join(output, name), other);
    await assert.rejects(finishParts(output), { name: "LorafoldError", code: "bad-config", message: /lorafold-part-1-of-1\.json: / }, other);
  }
  await assert.rejects(mergePart({ ...options, output }, { part: 1, of: 1 }), { code: "bad-config", message: /force/ });
  await mergePart({ ...options, output, force: true }, { part: 1, of: 1 });
  await finishParts(output, /** @type {any} */ (null));
  assert.deepEqual(await snapshot(output), expected);
});

test("a receipt that goes while receipts are read is none", async (t) => {
  const folder = await scratch(t);
  // As one that is listed, and then is not there.
  await symlink("nowhere", join(folder, ".lorafold-part-1-of-2.json"));
  await assert.rejects(finishParts(folder), { code: "truncated", message: /no part/ });
});

test("of many missing parts only some are named", async (t) => {
  const { options, output } = await prepared(t);
  await mergePart({ ...options, output }, { part: 10_000, of: 10_000 });
  await assert.rejects(finishParts(output), { code: "truncated", message: /missing: 1, 2, .*20 and 9979 more$/ });
});

test("a base that is written to while it is merged is no model", async (t) => {
  const { options, folder } = await prepared(t);
  let touched = false;
  const onProgress = () => {
    if (touched) return;
    touched = true;
    void writeFile(join(options.base, "config.json"), '{"tie_word_embeddings":false} ');
  };
  await assert.rejects(merge({ ...options, output: join(folder, "mixed"), onProgress, memoryBudget: 16 << 20 }), { code: "source-changed", message: /config\.json/ });
  assert.deepEqual(await snapshot(join(folder, "mixed")), {});
});

test("parts of two states of the base do not become one model", async (t) => {
  const { options, expected, output, folder } = await prepared(t);
  await mergePart({ ...options, output }, { part: 1, of: 2 });
  // A copy of the base on another machine is the same base.
  const copy = join(folder, "copy", "base");
  await cp(options.base, copy, { recursive: true });
  await mergePart({ ...options, base: copy, output }, { part: 2, of: 2 });
  const parallel = join(folder, "parallel");
  await cp(output, parallel, { recursive: true });
  await finishParts(output, { merge: options });
  assert.deepEqual(await snapshot(output), expected);

  // The same headers over other weights, in the shard of the second part alone.
  const name = "model-00002-of-00002.safetensors";
  const changed = await readFile(join(copy, name));
  for (let at = 1000; at < changed.length; at += 500) changed[at] ^= 1;
  await writeFile(join(copy, name), changed);
  const says = { code: "source-changed", message: new RegExp(`part 1 of 2 .*${name}`) };
  await assert.rejects(mergePart({ ...options, base: copy, output: parallel }, { part: 2, of: 2 }), says);
  await assert.rejects(finishParts(parallel, { merge: { ...options, base: copy } }), says);
  // Neither of two parts that are merged at the same time sees the other's receipt.
  const [mine, other] = [join(folder, "mine"), join(folder, "other")];
  await mergePart({ ...options, output: mine }, { part: 1, of: 2 });
  await mergePart({ ...options, base: copy, output: other }, { part: 2, of: 2 });
  for (const file of await readdir(other)) if (file.startsWith(".lorafold-part")) await copyFile(join(other, file), join(mine, file));
  await assert.rejects(finishParts(mine), { code: "source-changed", message: new RegExp(name) });
  assert.deepEqual(await visible(mine), {});
  // All parts anew, from the one that is there now.
  for (const part of [1, 2]) await mergePart({ ...options, base: copy, output: parallel, force: true }, { part, of: 2 });
  await finishParts(parallel);
  await merge({ ...options, base: copy, output: join(folder, "now") });
  assert.deepEqual(await snapshot(parallel), await snapshot(join(folder, "now")));
});

test("a folder with files of its own is not finished into, unless that is wanted", async (t) => {
  const { options, expected, output, folder } = await prepared(t);
  const refused = { code: "bad-option", message: /notes\.txt.*force/ };
  await writeFolder(output, { "notes.txt": "mine" });
  await assert.rejects(mergePart({ ...options, output }, { part: 1, of: 1 }), refused);
  assert.deepEqual(await readdir(output), ["notes.txt"]);
  await mergePart({ ...options, output, force: true }, { part: 1, of: 1 });
  await assert.rejects(finishParts(output), refused);
  await finishParts(output, { force: true });
  const { "notes.txt": notes, ...rest } = await snapshot(output);
  assert.ok(notes);
  assert.deepEqual(rest, expected);

  // A model of the same names in it.
  const whole = join(folder, "whole");
  await mergePart({ ...options, adapters: [{ source: options.adapters[0], weight: 0.5 }], output: whole, force: true }, { part: 1, of: 1 });
  await assert.rejects(finishParts(whole), { code: "bad-option", message: /force/ });
  assert.deepEqual(await visible(whole), expected);
});

test("what another merge has left of its parts goes with its receipts", async (t) => {
  const { options, expected, output } = await prepared(t);
  await mergePart({ ...options, output, maxShardSize: 1 << 20 }, { part: 1, of: 1 });
  await mergePart({ ...options, output, force: true }, { part: 1, of: 1 });
  await finishParts(output);
  assert.deepEqual(await snapshot(output), expected);
});

test("a finish that was stopped before its end gives the whole model when it is repeated", async (t) => {
  const { options, expected, output, folder } = await prepared(t);
  for (const part of [1, 2]) await mergePart({ ...options, output }, { part, of: 2 });
  const receipts = (await readdir(output)).filter((name) => name.startsWith(".lorafold-part"));
  const kept = await writeFolder(join(folder, "kept"), Object.fromEntries(await Promise.all(receipts.map(async (name) => [name, await readFile(join(output, name))]))));
  await finishParts(output);
  for (const name of receipts) await copyFile(join(kept, name), join(output, name));
  const files = await finishParts(output);
  assert.deepEqual(files.map(({ name }) => name).sort(), Object.keys(expected).sort());
  assert.deepEqual(await snapshot(output), expected);
});

test("a finish that was killed while it removed receipts is finished by the next", async (t) => {
  const { options, expected, output } = await prepared(t);
  for (const part of [1, 2, 3]) await mergePart({ ...options, output }, { part, of: 3 });
  // After the first that it removes, as a machine that goes down ends it.
  const kills = `data:text/javascript,import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module"; const { rm } = fs.promises;
    fs.promises.rm = async (path, options) => { await rm(path, options); if (path.includes("lorafold-part-")) process.kill(process.pid, "SIGKILL") }; syncBuiltinESMExports()`;
  const env = { ...process.env, NODE_OPTIONS: `--import=${JSON.stringify(kills.replace(/\n */, " "))}` };
  assert.equal((await lorafold(["merge", "--out", output, "--finish"], { env })).signal, "SIGKILL");
  assert.notDeepEqual(await snapshot(output), expected);
  await finishParts(output, { merge: options });
  assert.deepEqual(await snapshot(output), expected);
});
