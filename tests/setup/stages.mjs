// @ts-check
// The stages of `npm test`, each one command: what must exist for it, what it waits for, and how its tests are counted. Those that wait for
// nothing begin in this order (schedule.mjs).
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { bindgenPath } from "./bindgen.mjs";
import { cargoCounts, nodeCounts, none } from "./counts.mjs";
import { npmScript, root } from "./tools.mjs";

/**
 * @typedef {object} Command
 * @property {string} program
 * @property {string[]} args
 * @property {Record<string, string>} [env]
 */

/**
 * @typedef {object} Stage
 * @property {string} name
 * @property {string} group what --only names
 * @property {import("./setup.mjs").Extra[]} [needs] what setup has installed for it
 * @property {"cargo"} [lane] uses what cargo locks
 * @property {string[]} [after] stages that must have ended, if they run
 * @property {boolean} [essential] if it fails, nothing more is begun
 * @property {() => Command} command asked for only when the stage's turn comes, after setup and build
 * @property {(output: string) => import("./counts.mjs").Counts} count
 */

/**
 * Every test file below a folder: Node 20 and 22 understand a folder argument differently, files alike.
 * @param {string} folder
 * @returns {string[]}
 */
export function testFiles(folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.test\.m?js$/.test(name) && !name.includes("node_modules"))
    .sort()
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`);
}

/**
 * @param {string} name
 * @param {string} group
 * @param {string[]} args
 * @returns {Stage}
 */
const cargoCheck = (name, group, args) => ({ name, group, lane: "cargo", command: () => ({ program: "cargo", args }), count: none });

const packageBuilt = "build the package";
const wasmInNode = "wasm tests in Node with simd128";

/**
 * The crate's tests on wasm32: `cargo test` builds them, and hands each file to a runner.
 * @param {string} name
 * @param {string} group
 * @param {{ simd: boolean, runner: () => string, env?: Record<string, string> }} options
 * @returns {Stage}
 */
const wasmTests = (name, group, { simd, runner, env = {} }) => ({
  name,
  group,
  needs: ["runner"],
  lane: "cargo",
  command: () => ({
    program: "cargo",
    // Not the doctests: their examples are for native programs.
    args: ["test", "--target", "wasm32-unknown-unknown", "--features", "module", "--no-fail-fast", "--lib", "--tests"],
    env: {
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER: runner(),
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS: `-Ctarget-feature=${simd ? "+" : "-"}simd128`,
      WASM_BINDGEN_TEST_TIMEOUT: "300",
      // wasm-bindgen would carry it from file to file, for no test to look at.
      CARGO_PROFILE_DEV_DEBUG: "0",
      ...env,
    },
  }),
  count: cargoCounts,
});

/** @param {"chromium" | "firefox"} browser
 * @returns {Stage} */
const wasmInBrowser = (browser) => ({
  ...wasmTests(`wasm tests in a worker in ${browser}`, `wasm-${browser}`, {
    simd: true,
    // Relative, for cargo cuts this at spaces; cargo starts runners in the package's folder.
    runner: () => "node tests/browser/wasm-tests.mjs",
    env: { LORAFOLD_TEST_BROWSER: browser },
  }),
  needs: ["runner", "packages", "browsers"],
  // It runs what that has compiled, and so needs nothing of cargo.
  lane: undefined,
  after: [wasmInNode],
});

/**
 * @param {string} name
 * @param {string} group
 * @param {string[]} files
 * @param {{ oneByOne?: boolean, needs?: Stage["needs"], lane?: Stage["lane"] }} [options]
 * @returns {Stage[]}
 */
function nodeTests(name, group, files, { oneByOne = false, needs = ["packages"], lane } = {}) {
  if (files.length === 0) return [];
  const args = ["--test", "--test-reporter=spec", ...(oneByOne ? ["--test-concurrency=1"] : []), ...files];
  return [{ name, group, needs, lane, after: [packageBuilt], command: () => ({ program: process.execPath, args }), count: nodeCounts }];
}

/** @returns {Stage[]} */
function typeChecks() {
  return ["pkg-templates", "www", "tests", "tests/edge", "tests/edge-job", "benches"]
    .filter((folder) => existsSync(join(root, folder, "tsconfig.json")))
    .map((folder) => ({
      name: `types in ${folder}/`,
      group: "types",
      needs: ["packages"],
      after: [packageBuilt],
      command: () => ({ program: process.execPath, args: [npmScript("typescript", "tsc"), "--noEmit", "-p", folder] }),
      count: none,
    }));
}

/** @returns {Stage[]} */
export function allStages() {
  return [
    {
      name: packageBuilt,
      group: "build",
      essential: true,
      command: () => ({ program: process.execPath, args: ["pkg-templates/build.mjs"] }),
      count: none,
    },
    cargoCheck("formatting", "lint", ["fmt", "--all", "--check"]),
    {
      name: "crate tests, native",
      group: "native",
      lane: "cargo",
      command: () => ({ program: "cargo", args: ["test", "--no-fail-fast"] }),
      count: cargoCounts,
    },
    ...nodeTests("browser tests", "browser", testFiles("tests/browser"), { oneByOne: true, needs: ["packages", "browsers"] }),
    wasmTests(wasmInNode, "wasm", { simd: true, runner: () => bindgenPath("runner") }),
    wasmTests("wasm tests in Node without simd128", "wasm", { simd: false, runner: () => bindgenPath("runner") }),
    cargoCheck("clippy, native", "lint", ["clippy", "--all-targets", "--", "-D", "warnings"]),
    cargoCheck("clippy, wasm32", "lint", [
      "clippy", "--target", "wasm32-unknown-unknown", "--features", "module", "--lib", "--tests", "--", "-D", "warnings",
    ]),
    cargoCheck("clippy, wasm32, as others depend on it", "lint", ["clippy", "--target", "wasm32-unknown-unknown", "--", "-D", "warnings"]),
    ...nodeTests("JavaScript tests", "js", [...testFiles("tests/setup"), ...testFiles("tests/js")]),
    {
      name: "API reference",
      group: "docs",
      needs: ["reference"],
      lane: "cargo",
      after: [packageBuilt],
      command: () => ({ program: process.execPath, args: ["pkg-templates/reference/build.mjs"] }),
      count: none,
    },
    ...nodeTests("tests of the crate's tarball", "packaging", ["tests/packaging/crate.test.mjs"], { lane: "cargo" }),
    ...nodeTests("packaging tests", "packaging", testFiles("tests/packaging").filter((name) => !name.endsWith("/crate.test.mjs")), {
      oneByOne: true, needs: ["packages", "browsers"],
    }),
    wasmInBrowser("chromium"),
    wasmInBrowser("firefox"),
    ...nodeTests("edge tests", "edge", [...testFiles("tests/edge"), ...testFiles("tests/edge-job")], { oneByOne: true }),
    ...typeChecks(),
    {
      name: "benchmark at toy size",
      group: "bench",
      needs: ["packages", "browsers"],
      after: [packageBuilt],
      // Not the kernel's own: they would compile the crate twice more.
      command: () => ({ program: process.execPath, args: ["benches/run.mjs", "--toy", "--only", "node,browser,size"] }),
      count: none,
    },
  ];
}
