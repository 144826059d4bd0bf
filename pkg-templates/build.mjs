// @ts-check
// Assembles the npm package in pkg/: cargo → wasm-bindgen → wasm-opt, TypeScript → ESM, and the files beside them.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { bindgenBuilt } from "../tests/setup/bindgen.mjs";
import { edited } from "./glue.mjs";
import { browserBundle, loadedCode } from "./loaded.mjs";
import { compile, finish, npmProgram, optimise, run } from "./wasm.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);
const generated = join(here, "generated");
const pkg = join(root, "pkg");

/** Limits on what a page loads first, and on what it loads for rare methods and files, gzipped; over them the build fails. */
const LIMITS = { wasm: 300_000, rest: 300_000, browser: 25_000 };

/** The module: what is loaded first, and what is loaded when it is called (`rest.txt`). */
const HALVES = /** @type {const} */ (["lorafold_bg.wasm", "lorafold_rest.wasm"]);

/** All that decides what wasm-bindgen and wasm-opt make of a module. @param {string} wasm */
function fingerprint(wasm) {
  const hash = createHash("sha256");
  const tools = ["Cargo.lock", "tests/setup/bindgen/src/bindgen.rs", "tests/setup/bindgen/src/split.rs", "pkg-templates/rest.txt", "pkg-templates/glue.mjs", "pkg-templates/wasm.mjs", "node_modules/binaryen/package.json"];
  for (const path of [wasm, ...tools.map((name) => join(root, name))]) hash.update(readFileSync(path));
  return hash.digest("hex");
}

async function buildWasm() {
  console.log("build: cargo");
  // Both compile at the same time, of which one core alone does the end of each.
  const tools = bindgenBuilt("bindgen").then(async (bindgen) => [bindgen, await bindgenBuilt("split")]);
  tools.catch(() => {});
  const wasm = compile();
  const [bindgen, split] = /** @type {[string, string]} */ (await tools);
  const [made, stamp] = [fingerprint(wasm), join(generated, "made-of")];
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === made) return console.log("build: the WebAssembly is as it was");
  rmSync(generated, { recursive: true, force: true });
  console.log("build: wasm-bindgen");
  run(bindgen, [wasm, generated]);
  const glue = join(generated, "lorafold.js");
  writeFileSync(glue, edited(readFileSync(glue, "utf8")));
  console.log("build: wasm-opt");
  const [first, rest] = /** @type {[string, string]} */ (HALVES.map((name) => join(generated, name)));
  optimise(first, first, { names: true });
  run(split, [first, join(here, "rest.txt"), first, rest]);
  for (const half of [first, rest]) finish(half);
  writeFileSync(stamp, made);
}

function assemble() {
  console.log("build: TypeScript");
  rmSync(pkg, { recursive: true, force: true });
  mkdirSync(pkg);
  const staging = join(generated, "out");
  run(process.execPath, [npmProgram("typescript", "tsc"), "-p", here, "--outDir", staging]);
  cpSync(join(staging, "src"), pkg, { recursive: true });
  rmSync(staging, { recursive: true });
  for (const name of ["lorafold.js", "lorafold.d.ts", ...HALVES]) cpSync(join(generated, name), join(pkg, name));
  // Its classes can be disposed of, which the libraries of most consumers' targets do not know of.
  const glue = join(pkg, "lorafold.d.ts");
  writeFileSync(glue, `/// <reference lib="esnext.disposable" />\n${readFileSync(glue, "utf8")}`);
  for (const name of HALVES) cpSync(join(here, "src", name.replace(".wasm", ".d.wasm.ts")), join(pkg, `${name}.d.ts`));
  uncheck(pkg);
  for (const name of ["LICENSE", "CHANGELOG.md"]) cpSync(join(root, name), join(pkg, name));
  cpSync(join(here, "README.md"), join(pkg, "README.md"));
  for (const name of ["edge", "edge-job"]) cpSync(join(here, name), join(pkg, "templates", name), { recursive: true });
  const manifest = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
  const version = /^version = "(.+)"$/m.exec(readFileSync(join(root, "Cargo.toml"), "utf8"))?.[1];
  if (manifest.version !== version) throw new Error(`package.json says ${manifest.version}, Cargo.toml ${version}`);
  writeFileSync(join(pkg, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}

/**
 * Declarations name classes that the types of some platforms lack (Node's have no Worker): that is no mistake of the project that imports them. They
 * were checked here, and what uses them is checked as before (`globals.ts`).
 * @param {string} folder
 */
function uncheck(folder) {
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".d.ts")) continue;
    const path = join(folder, name);
    writeFileSync(path, `// @ts-nocheck\n${readFileSync(path, "utf8")}`);
  }
}

/** Make one file of the worker of Node: every worker of every merge reads it, and one file takes half the time of thirty. */
async function bundleNodeWorker() {
  const [folder, name] = [join(pkg, "workers"), "node-worker.js"];
  await build({
    configFile: false,
    logLevel: "error",
    root: folder,
    build: {
      ssr: name, outDir: folder, emptyOutDir: false, minify: false, target: "node20",
      rollupOptions: { external: /^node:/, output: { entryFileNames: name, codeSplitting: false } },
    },
  });
}

/** @param {string | Uint8Array} bytes */
const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;

/** Print what a page loads, and fail when it is too much. */
async function reportSizes() {
  const [first, rest] = /** @type {[Buffer, Buffer]} */ (HALVES.map((name) => readFileSync(join(pkg, name))));
  const sizes = { wasm: gzipped(first), rest: gzipped(rest), browser: gzipped(loadedCode(await browserBundle(pkg))) };
  console.log(`build: wasm ${first.length} bytes, ${sizes.wasm} gzipped (limit ${LIMITS.wasm}); its rest ${rest.length}, ${sizes.rest} gzipped (limit ${LIMITS.rest})`);
  console.log(`build: JavaScript of the browser's entry point ${sizes.browser} bytes minified and gzipped (limit ${LIMITS.browser})`);
  if (sizes.wasm > LIMITS.wasm || sizes.rest > LIMITS.rest || sizes.browser > LIMITS.browser) {
    console.error("build: too large");
    process.exit(1);
  }
}

await buildWasm();
assemble();
await bundleNodeWorker();
await reportSizes();
