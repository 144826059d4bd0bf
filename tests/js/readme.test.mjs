// @ts-check
// The README's examples are run as they stand there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { example } from "./readme.mjs";

const root = resolve(import.meta.dirname ?? ".", "../..");
/** @type {string} */
let project;

before(() => {
  // A user's project: the package installed, and the sample beside it.
  project = mkdtempSync(join(tmpdir(), "lorafold-readme-"));
  mkdirSync(join(project, "node_modules"));
  mkdirSync(join(project, "tests"));
  symlinkSync(join(root, "pkg"), join(project, "node_modules", "lorafold"));
  symlinkSync(join(root, "tests", "fixtures"), join(project, "tests", "fixtures"));
});

after(() => rmSync(project, { recursive: true, force: true }));

test("the JavaScript example runs and prints what it says", () => {
  writeFileSync(join(project, "example.mjs"), example("node"));
  const output = execFileSync(process.execPath, ["example.mjs"], { cwd: project, encoding: "utf8" });
  assert.match(output, /^alpha\/sqrt\(r\) = /);
  assert.match(output, /model-00001-of-00002\.safetensors \d+ Blob/);
  assert.match(output, /^true bad-header /m);
});

test("the commands run one after another", () => {
  const commands = example("commands").split("\n").filter((line) => line.startsWith("lorafold "));
  assert.ok(commands.length >= 3);
  for (const command of commands) {
    const args = command.replace(/\s+#.*$/, "").split(/\s+/).slice(1);
    execFileSync(process.execPath, [join(root, "pkg", "cli.js"), ...args], { cwd: project, stdio: "pipe" });
  }
  assert.ok(JSON.parse(readFileSync(join(project, "report.json"), "utf8")).tensors.length > 0);
});
