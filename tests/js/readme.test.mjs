// @ts-check
// The examples of README.md and docs/ are run as they stand there.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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

test("the README's own example runs", () => {
  writeFileSync(join(project, "short.mjs"), example("short"));
  const output = execFileSync(process.execPath, ["short.mjs"], { cwd: project, encoding: "utf8" });
  assert.match(output, /^model-00001-of-00002\.safetensors \d+ Blob[^]*^(1|0\.\d+)$/m);
});

test("the JavaScript example runs and prints what it says", () => {
  writeFileSync(join(project, "example.mjs"), example("node"));
  const output = execFileSync(process.execPath, ["example.mjs"], { cwd: project, encoding: "utf8" });
  assert.match(output, /^alpha\/sqrt\(r\) = /);
  assert.match(output, /model-00001-of-00002\.safetensors \d+ Blob/);
  assert.match(output, /^wrong-input /m);
});

test("the example of merge-on-read runs and prints what it says", () => {
  writeFileSync(join(project, "merged.mjs"), example("merged"));
  const output = execFileSync(process.execPath, ["merged.mjs"], { cwd: project, encoding: "utf8" });
  assert.match(output, /^model-00001-of-00002\.safetensors \d+ "[0-9a-f]{32}"$/m);
  assert.match(output, /^206 bytes 0-99\/\d+$/m);
});

/** The words of every command in an example. @param {string} name */
const commandsOf = (name) => example(name).split("\n").filter((line) => line.startsWith("lorafold ")).map((line) => line.replace(/\s+(#.*|&)$/, "").split(/\s+/).slice(1));

/** @param {string} name */
function runCommands(name) {
  const commands = commandsOf(name);
  assert.ok(commands.length >= 3);
  for (const args of commands) execFileSync(process.execPath, [join(root, "pkg", "cli.js"), ...args], { cwd: project, stdio: "pipe" });
}

test("a model in parts becomes the model", () => {
  runCommands("parts");
  assert.ok(readdirSync(join(project, "shared")).includes("model.safetensors.index.json"));
});

test("the served model answers the request that stands there", async () => {
  const [args] = commandsOf("serve");
  const [, range, url] = /curl --range (\S+) (\S+)/.exec(example("serve")) ?? [];
  const server = spawn(process.execPath, [join(root, "pkg", "cli.js"), ...args], { cwd: project, stdio: ["ignore", "pipe", "inherit"] });
  try {
    await new Promise((resolve, reject) => server.stdout.once("data", resolve).once("close", () => reject(new Error("it does not serve"))));
    const response = await fetch(url, { headers: { range: `bytes=${range}` } });
    assert.equal(response.status, 206);
    assert.ok(new DataView(await response.arrayBuffer()).getBigUint64(0, true) > 100n);
  } finally {
    server.kill("SIGINT");
  }
});

test("the commands run one after another", () => {
  runCommands("commands");
  assert.ok(JSON.parse(readFileSync(join(project, "report.json"), "utf8")).tensors.length > 0);
});
