// @ts-check
// `lorafold/slim` and `lorafold/edge`, where the caller brings the WebAssembly.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { serve } from "../browser/serve.mjs";
import { bun, deno } from "./programs.mjs";
import { packedProject, sample } from "./project.mjs";

/** @type {import("./project.mjs").Project} */
let project;
/** @type {import("../browser/serve.mjs").TestServer} */
let server;
before(async () => {
  project = await packedProject();
  server = await serve({ "/sample/": sample, "/pkg/": project.installed });
});
after(async () => {
  await server?.close();
  project?.remove();
});

const bytes = `import { readFile } from "node:fs/promises";
const bytes = await readFile(new URL(import.meta.resolve("lorafold/lorafold_bg.wasm")));`;

/** Merge from URLs. */
const mergeSample = `import { hashes, models } from "../prove.js";
const sums = await hashes(await merge(models((name) => process.env.ORIGIN + "/sample/" + name + "/")));`;

/** @param {string} text @param {Parameters<import("./project.mjs").Project["run"]>[1]} [options] */
function run(text, options) {
  const folder = project.write({ "main.mjs": text });
  return project.run(`${folder}/main.mjs`, { ...options, env: { ORIGIN: server.origin } });
}

const forms = {
  "its bytes": "bytes",
  "an ArrayBuffer": "bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)",
  "a module": "new WebAssembly.Module(bytes)",
  "a promise of a module": "WebAssembly.compile(bytes)",
  "a promise of an answer": 'fetch(process.env.ORIGIN + "/pkg/lorafold_bg.wasm")',
  "an answer without a type": "new Response(bytes)",
};

for (const entry of ["slim", "edge"]) {
  for (const [name, form] of Object.entries(forms)) {
    test(`${entry} in Node, given ${name}`, async () => {
      const sums = await run(`import { initialize, merge } from "lorafold/${entry}";
${bytes}
await initialize(${form});
${mergeSample}
console.log(JSON.stringify(sums));`);
      assert.deepEqual(sums, project.expected);
    });
  }
}

test("slim in Bun and Deno, with workers of the caller's", async () => {
  for (const options of [bun(), { ...deno(), args: [...deno().args, "--allow-env"] }]) {
    const { sums, started } = await run(`import { initialize, merge } from "lorafold/slim";
${bytes}
let started = 0;
const startWorker = () => (started++, new Worker(new URL(import.meta.resolve("lorafold/worker")), { type: "module" }));
await initialize(bytes, { startWorker });
${mergeSample}
console.log(JSON.stringify({ sums, started }));`, options);
    assert.deepEqual(sums, project.expected);
    assert.ok(started > 0, "no worker was started");
  }
});

test("merging may begin while the WebAssembly is on its way", async () => {
  const sums = await run(`import { initialize, merge } from "lorafold/slim";
void initialize(fetch(process.env.ORIGIN + "/pkg/lorafold_bg.wasm"));
${mergeSample}
console.log(JSON.stringify(sums));`);
  assert.deepEqual(sums, project.expected);
});

test("a library that imports slim runs on what the program has imported", async () => {
  const sums = await run(`import "lorafold";
import { merge } from "lorafold/slim";
${mergeSample}
console.log(JSON.stringify(sums));`);
  assert.deepEqual(sums, project.expected);
});

test("mistakes have their codes, and leave the way open", async () => {
  const { codes, sums } = await run(`import { initialize, inspect, LorafoldError, merge } from "lorafold/slim";
${bytes}
const sample = process.env.ORIGIN + "/sample/tiny-llama/";
const code = (promise) => promise.then(() => "none", (error) => error instanceof LorafoldError ? error.code : String(error));
// Ours, but for the name of one thing it imports from its glue.
const ofAnotherVersion = Uint8Array.from(bytes);
ofAnotherVersion.set(new TextEncoder().encode("__wbX_"), bytes.indexOf("__wbg_"));
const codes = [
  await code(inspect(sample)),
  await code(initialize("lorafold_bg.wasm")),
  await code(initialize(new Uint8Array(100))),
  // WebAssembly, but not ours: an empty module.
  await code(initialize(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0))),
  await code(initialize(ofAnotherVersion)),
  await code(initialize(fetch(process.env.ORIGIN + "/nothing.wasm"))),
  await code(initialize(bytes)),
];
${mergeSample}
console.log(JSON.stringify({ codes, sums }));`);
  assert.deepEqual(codes, [...Array(5).fill("bad-option"), "fetch-failed", "none"]);
  assert.deepEqual(sums, project.expected);
});
