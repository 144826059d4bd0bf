// @ts-check
// The packed package's declarations and manifest, as consumers' tools see them.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { publint } from "publint";
import { npmScript } from "../setup/tools.mjs";
import { packedProject, root } from "./project.mjs";

const execute = promisify(execFile);

/** @type {import("./project.mjs").Project} */
let project;
/** @type {any} */
let manifest;
before(async () => {
  project = await packedProject();
  manifest = JSON.parse(readFileSync(join(project.installed, "package.json"), "utf8"));
});
after(() => project?.remove());

/** Uses of every subpath; what is marked must be an error. */
const consumer = `import { inspect, LorafoldError, merge, plan, type MergeResult, type Report } from "lorafold";
import * as edge from "lorafold/edge";
import * as slim from "lorafold/slim";
import { parseHubAddress, searchModels, upload, type HubOptions } from "lorafold/hub";
import wasm from "lorafold/lorafold_bg.wasm";
import rest from "lorafold/lorafold_rest.wasm";
import "lorafold/worker";

const adapters = [{ source: new Blob([]), weight: 0.5 }, "adapter"];
const result: MergeResult = await merge({ base: "base", adapters, onProgress: ({ bytes }) => void bytes });
const report: Report = await plan({ base: new URL("https://example.org/model/"), adapters });
const code: "bad-option" extends LorafoldError["code"] ? true : false = true;
await slim.initialize(fetch("wasm"), { startWorker: () => new Worker("worker.js", { type: "module" }), rest: "rest.wasm" });
await edge.initialize(wasm, { rest });
const hub: HubOptions = { token: false, endpoint: "https://example.org" };
await plan({ base: parseHubAddress("org/name")?.name ?? "hf://org/name", adapters, hub });
for (const { name, gated } of await searchModels({ query: "llama", limit: 5, hub })) console.log(name, gated);
console.log((await upload({ to: "hf://org/name", files: result.files, hub })).commit);
const same: typeof merge[] = [edge.merge, slim.merge];
const merged = await edge.openMerged({ base: "base", adapters });
const answer: Response = await merged.response(new Request("https://example.org/config.json"));
const description = await edge.inspect(new Blob([]));
if (description.kind === "adapter") console.log(description.alpha, result.files, report, code, same, inspect, answer);
// @ts-expect-error there is no such method
await merge({ base: "base", adapters, method: "average" });
// @ts-expect-error edge has no workers
await edge.initialize(wasm, { startWorker: () => new Worker("worker.js") });
`;

/** @param {string} name @param {string} text @param {Record<string, unknown>} options */
async function compile(name, text, options) {
  const compilerOptions = { target: "es2022", strict: true, noEmit: true, skipLibCheck: false, types: [], ...options };
  const folder = project.write({ [name]: text, "tsconfig.json": JSON.stringify({ compilerOptions, files: [name] }) });
  await execute(process.execPath, [npmScript("typescript", "tsc"), "-p", folder]).catch((error) => assert.fail(error.stdout));
}

describe("TypeScript", () => {
  const resolutions = {
    nodenext: { module: "nodenext", moduleResolution: "nodenext" },
    bundler: { module: "esnext", moduleResolution: "bundler" },
    "bundler, for workerd": { module: "esnext", moduleResolution: "bundler", customConditions: ["workerd"] },
    "bundler, for browsers": { module: "esnext", moduleResolution: "bundler", customConditions: ["browser"] },
  };
  for (const [name, options] of Object.entries(resolutions)) {
    test(name, () => compile("consumer.ts", consumer, options));
  }

  test("nodenext, required", () => compile(
    "consumer.cts",
    `import lorafold = require("lorafold");\nexport const merged: Promise<lorafold.MergeResult> = lorafold.merge({ base: "base", adapters: [] });\n`,
    resolutions.nodenext,
  ));

  test("a project of Node's without the types of pages", () => compile(
    "consumer.ts",
    `import { merge } from "lorafold";\nconst { files } = await merge({ base: "base", adapters: ["adapter"] });\nfor (const { name } of files) console.log(name.length);\n`,
    { ...resolutions.nodenext, lib: ["es2023"], types: ["node"], typeRoots: [join(root, "node_modules", "@types")], skipLibCheck: true },
  ));

  for (const [name, options] of Object.entries({
    "Node's without the types of pages": { lib: ["es2023"], types: ["node"], typeRoots: [join(root, "node_modules", "@types")] },
    "the language alone": { lib: ["es2022"] },
    "pages": {},
  })) {
    test(`a project that checks the declarations of libraries, with the types of ${name}`, () => compile(
      "consumer.ts",
      `import { inspect, merge, openMerged } from "lorafold";
import * as edge from "lorafold/edge";
import * as slim from "lorafold/slim";
import wasm from "lorafold/lorafold_bg.wasm";
import "lorafold/worker";
const { files } = await merge({ base: "base", adapters: ["adapter"] });
// @ts-expect-error a number
const name: string = files[0].size;
export { edge, inspect, name, openMerged, slim, wasm };
`,
      { ...resolutions.nodenext, ...options, skipLibCheck: false },
    ));
  }

  /** Wrong in every project, whatever its types know of the platform. */
  const wrong = `import { inspect, merge, openMerged, type MergeOptions, type MergeResult, type Source } from "lorafold";
import * as slim from "lorafold/slim";
// @ts-expect-error a number is no base
await merge({ base: 5, adapters: [] });
// @ts-expect-error nor is a list of numbers
await merge({ base: [5], adapters: [] });
// @ts-expect-error nor is an adapter
await merge({ base: "base", adapters: [true] });
// @ts-expect-error nor an output
await merge({ base: "base", adapters: [], output: 5 });
// @ts-expect-error a stream of something
const output: MergeOptions["output"] = () => 5;
// @ts-expect-error no signal
await openMerged({ base: "base", adapters: [], signal: "stop" });
// @ts-expect-error no signal
await inspect("base", { signal: 5 });
// @ts-expect-error no stream
const source: Source = { list: async () => [], read: async () => new Uint8Array(), stream: () => 5 };
// @ts-expect-error no WebAssembly
await slim.initialize(undefined);
// @ts-expect-error no worker
await slim.initialize(new Uint8Array(), { startWorker: () => 5 });
export const size = async ({ files }: MergeResult): Promise<string> => {
  // @ts-expect-error a Blob has no such thing
  return (await files[0].blob()).length;
};
export { output, source };
`;
  const typeRoots = [join(root, "node_modules", "@types")];
  for (const [name, options] of Object.entries({
    "pages": {},
    "Node, without those of pages": { lib: ["es2023"], types: ["node"], typeRoots, skipLibCheck: true },
    "the language alone": { lib: ["es2023"], skipLibCheck: true },
  })) {
    test(`what is wrong is an error with the types of ${name}`, () => compile("consumer.ts", wrong, { ...resolutions.nodenext, ...options }));
  }

  test("what Node has is taken without the types of pages", () => compile(
    "consumer.ts",
    `import { merge } from "lorafold";
const stop = new AbortController();
const { files } = await merge({ base: new Blob([]), adapters: [new URL("https://example.org/adapter/")], signal: stop.signal, output: () => new WritableStream<Uint8Array>() });
export const size: number = (await files[0].blob()).size;
`,
    { ...resolutions.nodenext, lib: ["es2023"], types: ["node"], typeRoots, skipLibCheck: true },
  ));
});

test("publint has nothing to say", async () => {
  const { messages } = await publint({ pkgDir: project.installed, pack: false, strict: true });
  assert.deepEqual(messages, []);
});

test("Are the types wrong? has nothing to say", async () => {
  const script = npmScript("@arethetypeswrong/cli", "attw");
  await execute(process.execPath, [script, project.tarball, "--profile", "esm-only", "--no-emoji"]).catch((error) => assert.fail(error.stdout));
});

test("the package has one module in two halves, what links them, and nothing that runs or comes along on installation", () => {
  const all = readdirSync(project.installed, { recursive: true, encoding: "utf8" });
  // Templates are projects of their own, in TypeScript.
  const [templates, files] = [true, false].map((own) => all.filter((name) => /^templates\b/.test(name) === own));
  for (const name of ["edge", "edge-job"]) {
    for (const file of ["README.md", "package.json", "tsconfig.json", "wrangler.toml", "src/index.ts"]) assert.ok(templates.includes(join("templates", name, file)), `${name}: ${file}`);
  }
  assert.deepEqual(files.filter((name) => name.endsWith(".wasm")), ["lorafold_bg.wasm", "lorafold_rest.wasm"]);
  const glue = files.filter((name) => name.endsWith(".js") && readFileSync(join(project.installed, name), "utf8").includes("WebAssembly.Instance("));
  // Node's worker is one file, so that it starts sooner.
  assert.deepEqual(glue, ["lorafold.js", "rest.js", join("workers", "node-worker.js")]);
  for (const name of ["README.md", "LICENSE", "CHANGELOG.md"]) assert.ok(files.includes(name), name);
  assert.deepEqual(files.filter((name) => name === "src" || /\.(ts|tsbuildinfo|map)$/.test(name.replace(/\.d\.ts$/, ""))), []);
  for (const key of ["scripts", "dependencies", "optionalDependencies", "peerDependencies", "bundleDependencies"]) {
    assert.equal(manifest[key], undefined, key);
  }
});

test("what the manifest names exists, and every entry point counts as having side effects", () => {
  /** @param {any} target @returns {string[]} */
  const leaves = (target) => (typeof target === "string" ? [target] : Object.values(target).flatMap(leaves));
  const named = [...leaves(manifest.exports), manifest.types, ...Object.values(manifest.bin)];
  for (const path of named) assert.ok(existsSync(join(project.installed, path)), path);
  // A bundler that dropped one of these would drop a context, or a worker's code.
  const acting = readdirSync(project.installed, { recursive: true, encoding: "utf8" })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".js") && /^(setDefaultContext\(|serve\(|scope\.|process\.)/m.test(readFileSync(join(project.installed, name), "utf8")));
  assert.ok(acting.length >= 6, `${acting}`);
  const patterns = manifest.sideEffects.map((/** @type {string} */ glob) => new RegExp(`^${glob.replace("./", "").replaceAll(".", "\\.").replace("*", "[^/]*")}$`));
  assert.deepEqual(acting.filter((name) => !patterns.some((/** @type {RegExp} */ pattern) => pattern.test(name))), []);
});

test("every entry point exports all of the API", async () => {
  const exportsOf = async (/** @type {string} */ file) => Object.keys(await import(pathToFileURL(join(project.installed, file)).href));
  const api = ["LorafoldError", "inspect", "merge", "openMerged", "plan", "repeat"];
  for (const entry of ["node.js", "browser.js", "edge.js", "slim.js"]) {
    const found = await exportsOf(entry);
    assert.deepEqual(api.filter((name) => !found.includes(name)), [], entry);
  }
});
