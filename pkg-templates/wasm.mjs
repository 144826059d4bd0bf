// @ts-check
// Rust → wasm, for the package and for the benchmark of the kernel.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = "wasm32-unknown-unknown";

/** What wasm-opt may use: what rustc emits for this target, and SIMD. */
const FEATURES = [
  "simd", "bulk-memory", "bulk-memory-opt", "reference-types", "multivalue", "mutable-globals", "nontrapping-float-to-int", "sign-ext",
  "extended-const",
];

/** @param {string} program @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
export function run(program, args, env = {}) {
  execFileSync(program, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, ...env } });
}

/** A program that an npm package brings. @param {string} name @param {string} bin */
export function npmProgram(name, bin) {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve(`${name}/package.json`);
  const { bin: bins } = JSON.parse(readFileSync(manifest, "utf8"));
  return join(dirname(manifest), typeof bins === "string" ? bins : bins[bin]);
}

/** The file that cargo makes. @param {string[]} [extra] features beside those of the published module */
export function compile(extra = []) {
  const flags = [
    "-Ctarget-feature=+simd128",
    // Panics name source files: without this by where they lie on the machine that compiles.
    `--remap-path-prefix=${join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "registry", "src")}=`,
  ];
  const features = ["module", ...extra].join(",");
  // The crate itself is a library for Rust alone; only here it becomes a module.
  run("cargo", ["rustc", "--profile", "wasm", "--lib", "--crate-type", "cdylib", "--target", target, "--features", features], { CARGO_ENCODED_RUSTFLAGS: flags.join("\x1f") });
  return join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), target, "wasm", "lorafold.wasm");
}

/** What one place alone calls mostly stays a function: LLVM has made its choice, and functions that look alike pack better. */
const INLINING = ["--one-caller-inline-max-function-size=20"];

/** Functions whose names begin alike mostly do alike: side by side they pack better. */
const ORDER = ["--reorder-functions-by-name", "--reorder-locals"];

const STRIPPED = ["--strip-debug", "--strip-producers", "--strip-target-features"];

/** @param {string[]} args */
function wasmOpt(args) {
  const features = FEATURES.map((feature) => `--enable-${feature}`);
  run(process.execPath, [npmProgram("binaryen", "wasm-opt"), ...features, ...args]);
}

/** Optimise a module. @param {string} from @param {string} to @param {{ names?: boolean }} [kept] whether functions keep their names */
export function optimise(from, to, { names = false } = {}) {
  // The memory begins as zeros, and with the stack at its bottom, whose last kilobyte nothing reaches.
  const facts = ["--zero-filled-memory", "--low-memory-unused"];
  wasmOpt(["-O3", ...INLINING, ...ORDER, ...(names ? ["-g"] : STRIPPED), ...facts, from, "-o", to]);
}

/** Make of an optimised module with names what is published: functions in an order that packs well, without their names. @param {string} path */
export function finish(path) {
  wasmOpt(["-O3", ...INLINING, "--reorder-functions-by-name", ...STRIPPED, path, "-o", path]);
}
