// @ts-check
// Names, links and addresses that a stranger may have made, and folders that are not there: what is printed commands no terminal and tells no secret, and
// what is written goes where it should.
import assert from "node:assert/strict";
import { existsSync, rmdirSync } from "node:fs";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { finishParts, inspect, merge, mergePart } from "../../pkg/node.js";
import { guarded, CSI, ERASE } from "../../pkg/cli/printable.js";
import { CLI, lorafold } from "./command.mjs";
import { FIXTURES } from "./fixture.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";
import { scratch, snapshot, writeFolder } from "./scratch.mjs";

const base = join(FIXTURES, "sample", "tiny-llama");
const adapters = [join(FIXTURES, "sample", "storyteller-lora")];

/** Control characters but for the line feeds that end lines. */
const CONTROLS = /[\0-\x09\x0b-\x1f\x7f-\x9f\u202e]/;

test("what names and configurations hold is printed so that no terminal obeys it", async (t) => {
  const folder = await scratch(t);
  const tensor = { dtype: "F32", shape: [1], values: [1] };
  const evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e";
  const model = await writeFolder(join(folder, "model"), {
    "model.safetensors": buildSafetensors({ [`lm_head${evil}.weight`]: tensor }), "config.json": JSON.stringify({ model_type: evil }),
  });
  for (const args of [["inspect", model], ["inspect", model, "--json"], ["merge", "--base", model, "--adapter", adapters[0], "--out", join(folder, evil)], ["inspect", join(folder, evil)], [evil], ["merge", `--${evil}`]]) {
    const { stdout, stderr } = await lorafold(args);
    assert.doesNotMatch(stdout + stderr, CONTROLS, args.join(" "));
    assert.ok((stdout + stderr).includes("\\u001b"), args.join(" "));
  }
  // The same document all the same.
  const [description] = JSON.parse((await lorafold(["inspect", model, "--json"])).stdout);
  assert.deepEqual(description, JSON.parse(JSON.stringify(await inspect(model))));
  assert.equal(guarded(`${ERASE}a\r\x1b[2K${CSI}1mb${CSI}22m\n`), "\r\x1b[Ka\\u000d\\u001b[2K\x1b[1mb\x1b[22m\n");
});

test("no error tells the password of an address", async () => {
  for (const address of ["https://me:s3cret@127.0.0.1:9/model", "https://me:s3/cret@127.0.0.1:9/model", "https://me:x?s3cret@host", "https://me:x#s3cret@host", "http://s3cret@127.0.0.1:9/a.safetensors", "ftp://me:s3cret@host/"]) {
    for (const args of [["inspect", address], ["inspect", address, "--json"], ["merge", "--base", address, "--adapter", adapters[0], "--out", "nowhere", "--json"]]) {
      const { code, stdout, stderr } = await lorafold(args);
      assert.equal(code, 1, stderr);
      assert.ok(!/s3|cret/.test(stdout + stderr), stdout + stderr);
    }
  }
  await assert.rejects(inspect("http://me:s3cret@127.0.0.1:9/a@b/"), /http:\/\/127\.0\.0\.1:9\/a@b\/: requests cannot carry/);
});

test("a folder where none can be made is an error", { skip: !existsSync("/proc/self") }, async () => {
  await assert.rejects(merge({ base, adapters, output: "/proc/nope/x" }), { code: "write-failed" });
  await assert.rejects(mergePart({ base, adapters, output: "/proc/nope/x" }, { part: 1, of: 1 }), { code: "write-failed" });
});

test("a part writes through no link", { skip: process.platform === "win32" }, async (t) => {
  const folder = await scratch(t);
  const output = join(folder, "out");
  const victim = join(folder, "victim");
  await mkdir(output);
  await writeFile(victim, "precious");
  await symlink(victim, join(output, ".model-00001-of-00002.safetensors.partial"));
  await assert.rejects(mergePart({ base, adapters, output }, { part: 1, of: 1 }), { code: "write-failed" });
  assert.equal(await readFile(victim, "utf8"), "precious");
});

test("companions with the longest of names, and with line feeds in them", { skip: process.platform === "win32" }, async (t) => {
  const folder = await scratch(t);
  const own = join(folder, "base");
  await cp(base, own, { recursive: true });
  const names = ["é".repeat(118) + ".json", `${"n".repeat(250)}.json`, "two\nlines.json"];
  for (const name of names) await writeFile(join(own, name), "{}");
  const whole = join(folder, "whole");
  await merge({ base: own, adapters, output: whole });
  const expected = await snapshot(whole);
  assert.ok(names.every((name) => name in expected));
  await merge({ base: own, adapters, output: whole, force: true });
  assert.deepEqual(await snapshot(whole), expected);
  const output = join(folder, "parts");
  for (const part of [1, 2]) await mergePart({ base: own, adapters, output }, { part, of: 2 });
  await finishParts(output);
  assert.deepEqual(await snapshot(output), expected);
});

test("what a merge that was killed has left goes, also of files that no other merge has", async (t) => {
  const output = await scratch(t);
  const whole = (await merge({ base, adapters, output })).files.map(({ name }) => name);
  const { newToken } = await import("../../pkg/node/hidden.js");
  const [machine] = newToken().split("-");
  // No process has this number.
  const dead = `${machine}-4194999-0123abcd`;
  for (const name of ["model-00001-of-00007.safetensors", "two\nlines.json"]) await writeFile(join(output, `.${name}.${dead}.partial`), "half");
  const other = `.other.safetensors.${machine}-${process.pid}-0123abcd.partial`;
  await writeFile(join(output, other), "of a merge that runs");
  await merge({ base, adapters, output, force: true });
  assert.deepEqual((await readdir(output)).sort(), [other, ...whole].sort());
});

test("a working directory that was removed is told as what it is", { skip: process.platform === "win32" }, async (t) => {
  const folder = await scratch(t);
  const gone = join(folder, "gone");
  // The shell removes it after it has become its own.
  const { execFile } = await import("node:child_process");
  const run = (/** @type {string} */ args) =>
    new Promise((resolve) => execFile("/bin/sh", ["-c", `mkdir "$1" && cd "$1" && rmdir "$1" && exec "$2" "$3" ${args}`, "sh", gone, process.execPath, CLI], (error, stdout, stderr) => resolve({ code: error?.code, stderr })));
  for (const args of ["inspect model", `merge --base ${base} --adapter ${adapters[0]} --out merged`, `merge --base ${base} --adapter ${adapters[0]} --dry-run --report report.json`]) {
    const { code, stderr } = /** @type {{ code: number, stderr: string }} */ (await run(args));
    assert.equal(code, 1, stderr);
    assert.match(stderr, /bad-option.*: the working directory is no longer there\b/);
  }
  if (existsSync(gone)) rmdirSync(gone);
});
