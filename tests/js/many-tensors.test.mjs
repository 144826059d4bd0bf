// @ts-check
// Models of very many tensors: a report of all of them is made only for whoever reads it, and written in parts.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { __wbg_reset_state as replaceInstance, initSync } from "../../pkg/lorafold.js";
import { nodePlatform } from "../../pkg/node/context.js";
import { merge, openMerged, plan } from "../../pkg/node.js";
import { reportText } from "../../pkg/report.js";
import { lorafold } from "./command.mjs";
import { manyTensors } from "./many-tensors.mjs";
import { scratch } from "./scratch.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const MB = 1e6;

const tiny = () => {
  const { base, adapter } = tinyModel();
  return { base: asFiles(base), adapters: [asFiles(adapter)] };
};

test("a header of 40 MB takes less than 330 MB of memory, whatever is reported", async (t) => {
  const folder = await scratch(t);
  const { base, adapter, headerBytes } = await manyTensors(folder, { tensors: 300_000, changed: 600 });
  assert.ok(headerBytes > 39 * MB);
  const file = join(folder, "report.json");
  const env = { ...process.env, NODE_OPTIONS: `--import ${new URL("peak.mjs", import.meta.url).href}` };
  /** @type {Record<string, string>} */
  const printed = {};
  for (const words of [["--dry-run"], [], ["--json"], ["--report", file]]) {
    const all = ["merge", "--base", base, "--adapter", adapter, "--out", join(folder, "out"), "--force", "--quiet", ...words];
    const { code, stdout, stderr } = await lorafold(all, { env });
    assert.equal(code, 0, stderr);
    const [, kilobytes] = /^peak (\d+)$/m.exec(stderr) ?? assert.fail(stderr);
    const peak = Number(kilobytes) * 1024;
    t.diagnostic(`${words[0] ?? "merge"}: peak ${(peak / MB).toFixed(0)} MB`);
    assert.ok(peak < 330 * MB, `${words}: ${peak} bytes`);
    printed[words[0] ?? ""] = stdout;
  }
  assert.equal(await readFile(file, "utf8"), printed["--json"]);
  const report = JSON.parse(printed["--json"]);
  assert.equal(report.tensors.length, 300_000);
  assert.equal(report.tensors.filter((/** @type {import("../../pkg/node.js").TensorReport} */ { statistics }) => statistics).length, 600);
  assert.match(printed["--report"], /^merged 600 tensors of 300000 .*\nrounding kept /);
});

test("a report is written as JSON.stringify writes it, whether its tensors were read or not", async (t) => {
  const folder = await scratch(t);
  const { base, adapter } = await manyTensors(folder, { tensors: 2500, changed: 3 });
  const report = await plan({ base, adapters: [adapter] });
  const before = [...reportText(report)].join("");
  assert.equal(report.tensors.length, 2500);
  assert.equal(before, JSON.stringify(report, null, 2));
  assert.equal([...reportText(report)].join(""), before);
  assert.deepEqual(structuredClone(report), JSON.parse(before));
  // Whoever likes may replace them.
  const other = await plan({ base, adapters: [adapter] });
  other.tensors = [];
  assert.equal([...reportText(other)].join(""), JSON.stringify({ ...report, tensors: [] }, null, 2));
});

test("tensors that were read take no WebAssembly memory any more", async (t) => {
  const folder = await scratch(t);
  const { base, adapter } = await manyTensors(folder, { tensors: 20_000, changed: 3 });
  const { memory } = initSync({ module: await nodePlatform.loadWasm() });
  const read = async () => assert.equal((await plan({ base, adapters: [adapter] })).tensors.length, 20_000);
  await read();
  const { byteLength } = memory.buffer;
  for (let round = 0; round < 20; round++) await read();
  assert.equal(memory.buffer.byteLength, byteLength);
});

test("tensors that are lost are an error, those that were read stay", async () => {
  const [read, unread] = [await plan(tiny()), (await merge(tiny())).report];
  const open = await openMerged(tiny());
  const { report } = open;
  assert.equal(read.tensors.length, 4);
  replaceInstance();
  assert.equal(read.tensors.length, 4);
  for (const lost of [unread, report]) {
    assert.equal(lost.merged, 2);
    assert.throws(() => lost.tensors, { name: "LorafoldError", code: "source-changed" });
  }
  open.close();
  assert.throws(() => report.tensors, { name: "LorafoldError", code: "bad-option" });
  assert.equal((await plan(tiny())).tensors.length, 4);
});
