// @ts-check
// The packed package in the runtime of Cloudflare Workers, with the memory that an isolate may have there.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import * as esbuild from "esbuild";
import { Miniflare } from "miniflare";
import { serve } from "../browser/serve.mjs";
import { example } from "../js/readme.mjs";
import { workerd } from "./programs.mjs";
import { adapters, base, exported, packedProject, rare, sample } from "./project.mjs";

/** 64 MiB of WebAssembly memory: workerd by itself limits nothing. */
const memoryLimit = "--wasm-max-mem-pages=1024";
/** One that this workerd knows. */
const compatibilityDate = "2026-07-01";

/** @type {import("./project.mjs").Project} */
let project;
/** @type {import("../browser/serve.mjs").TestServer} */
let models;
before(async () => {
  project = await packedProject();
  models = await serve({ "/sample/": sample, "/rare/": rare });
});
after(async () => {
  await models?.close();
  project?.remove();
});

/** Whether a WebAssembly memory of more than 64 MiB is refused. */
const limited = `function limited() {
  try {
    return !new WebAssembly.Memory({ initial: 1025 });
  } catch {
    return true;
  }
}`;

/** A test that workerd itself runs: sources are modules of the worker. @param {string} bring */
const selfTest = (bring) => `import { initialize, merge, LorafoldError } from "lorafold/edge";
import wasm from "lorafold/lorafold_bg.wasm";
import { hashes, models } from "prove.js";
import { files } from "files.js";
import expected from "expected.json";

${limited}

const where = (folder) => ({
  list: async () => Object.entries(files[folder]).map(([name, bytes]) => ({ name, size: bytes.byteLength })),
  read: async (name, start, end) => new Uint8Array(files[folder][name].slice(start, end)),
});

export default {
  async test() {
    ${bring}
    const sums = await hashes(await merge({ ...models(where), memoryBudget: 16 << 20 }));
    if (JSON.stringify(sums) !== JSON.stringify(expected)) throw new Error("not the command line's: " + JSON.stringify(sums));
    const code = await merge({ ...models(where), only: "(" }).catch((error) => error instanceof LorafoldError && error.code);
    if (code !== "bad-option") throw new Error("no bad-option, but " + code);
    if (!limited()) throw new Error("the memory has no limit");
  },
};
`;

/** A module of a worker in workerd's configuration: its name, its type, its file. @typedef {[string, string, string]} Module */

/** Every file of the package, with the edge's entry under its subpath. @param {string[]} conditions @returns {Module[]} */
function packageModules(conditions) {
  const names = readdirSync(project.installed, { recursive: true, encoding: "utf8" }).map((path) => path.replaceAll("\\", "/"));
  const file = (/** @type {string} */ name) => join(project.installed, name);
  return [
    ["lorafold/edge", "esModule", file(exported(project, "./edge", conditions))],
    ...names.filter((name) => name.endsWith(".js")).map((name) => /** @type {Module} */ ([`lorafold/${name}`, "esModule", file(name)])),
    ...["lorafold_bg.wasm", "lorafold_rest.wasm"].map((name) => /** @type {Module} */ ([`lorafold/${name}`, "wasm", file(name)])),
  ];
}

/** The sample's files, and a module that has them all. @returns {{ modules: Module[], text: string }} */
function sampleModules() {
  const folders = [base, ...adapters.map(({ name }) => name)];
  const paths = folders.flatMap((folder) => readdirSync(join(sample, folder)).map((file) => ({ folder, file, name: `sample/${folder}/${file}` })));
  const imports = paths.map(({ name }, number) => `import file${number} from "${name}";`);
  const listed = folders.map((folder) => {
    const entries = paths.map((path, number) => (path.folder === folder ? `"${path.file}": file${number}, ` : ""));
    return `"${folder}": { ${entries.join("")} }`;
  });
  return {
    modules: paths.map(({ name }) => [name, "data", join(sample, "..", name)]),
    text: `${imports.join("\n")}\nexport const files = { ${listed.join(", ")} };\n`,
  };
}

/** @param {Module[]} modules @param {string} folder where the configuration will be: embedded paths are relative to it */
const configuration = (modules, folder) => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(name = "main", worker = .main)], v8Flags = ["${memoryLimit}"]);
const main :Workerd.Worker = (
  compatibilityDate = "${compatibilityDate}",
  modules = [
${modules.map(([name, type, file]) => `    (name = "${name}", ${type} = embed ${JSON.stringify(relative(folder, file).replaceAll("\\", "/"))}),`).join("\n")}
  ],
);
`;

for (const [conditions, entry, bring] of /** @type {[string[], string, string][]} */ ([
  [["workerd"], "edge-workerd.js", ""],
  [[], "edge.js", "await initialize(wasm);"],
])) {
  test(`workerd test of ${entry}`, async () => {
    assert.equal(exported(project, "./edge", conditions), entry);
    const { modules, text } = sampleModules();
    const folder = project.write({ "main.js": selfTest(bring), "files.js": text, "expected.json": JSON.stringify(project.expected) });
    const all = [
      /** @type {Module} */ (["main.js", "esModule", join(folder, "main.js")]),
      /** @type {Module} */ (["files.js", "esModule", join(folder, "files.js")]),
      /** @type {Module} */ (["prove.js", "esModule", join(project.folder, "prove.js")]),
      /** @type {Module} */ (["expected.json", "json", join(folder, "expected.json")]),
      ...packageModules(conditions),
      ...modules,
    ];
    writeFileSync(join(folder, "config.capnp"), configuration(all, folder));
    await promisify(execFile)(workerd(), ["test", join(folder, "config.capnp")]);
  });
}

/** Bundle a worker as wrangler does: its conditions, .wasm files beside the script. @param {string} folder */
async function bundleWorker(folder) {
  await esbuild.build({
    absWorkingDir: folder,
    entryPoints: ["main.js"], outdir: "dist",
    bundle: true, format: "esm", target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    loader: { ".wasm": "copy" },
    logLevel: "silent",
  });
  const names = readdirSync(join(folder, "dist"));
  assert.equal(names.filter((name) => name.endsWith(".wasm")).length, 2);
  return names.sort((a, b) => Number(b === "main.js") - Number(a === "main.js"));
}

/** Start what was bundled. @param {string} folder @param {string[]} names */
function miniflare(folder, names) {
  process.env.MINIFLARE_WORKERD_V8_FLAGS = memoryLimit;
  return new Miniflare({
    compatibilityDate,
    modules: names.map((name) => ({
      type: name.endsWith(".wasm") ? /** @type {const} */ ("CompiledWasm") : /** @type {const} */ ("ESModule"),
      path: join(folder, "dist", name),
    })),
    modulesRoot: join(folder, "dist"),
  });
}

test("Miniflare: lorafold itself, bundled, from a base behind HTTP", async () => {
  const folder = project.write({
    "main.js": `import { merge } from "lorafold";
import { hashes, models } from "../prove.js";
${limited}
export default {
  async fetch(request) {
    const origin = new URL(request.url).searchParams.get("sample");
    const many = await Promise.all([1, 2, 3].map(async () => hashes(await merge(models((name) => origin + "/sample/" + name + "/")))));
    const rare = await hashes(await merge({ base: origin + "/rare/base/", adapters: [origin + "/rare/adapter/"] }));
    return Response.json({ many, rare, limited: limited() });
  },
};
`,
  });
  const runtime = miniflare(folder, await bundleWorker(folder));
  try {
    const ask = async () => (await runtime.dispatchFetch(`http://worker/?sample=${models.origin}`)).json();
    // Cold, with requests at once that share one instance; then warm.
    const answers = [...(await Promise.all([ask(), ask()])), await ask()];
    assert.deepEqual(answers, Array(3).fill({ many: Array(3).fill(project.expected), rare: project.expectedRare, limited: true }));
  } finally {
    await runtime.dispose();
  }
});

test("Miniflare: the README's worker", async () => {
  const folder = project.write({ "main.js": example("edge") });
  const runtime = miniflare(folder, await bundleWorker(folder));
  try {
    const answer = await runtime.dispatchFetch(`http://worker/?model=${models.origin}/sample/tiny-llama/`);
    const { kind, parameters } = /** @type {any} */ (await answer.json());
    assert.deepEqual([kind, parameters > 0], ["base", true]);
  } finally {
    await runtime.dispose();
  }
});
