// @ts-check
// Installs what this checkout needs and doesn't have yet; run again, it finds everything there and does nothing.
//   node tests/setup/setup.mjs              what the package and the page are built with: Rust's wasm target, npm packages
//   node tests/setup/setup.mjs --tests      also what only tests, benchmarks and the API reference need
//   node tests/setup/setup.mjs --browsers   also Chromium and Firefox
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { bindgenCommand, bindgenPath } from "./bindgen.mjs";
import { run } from "./run.mjs";
import { findBrowser, onPath, root } from "./tools.mjs";

const wasmTarget = "wasm32-unknown-unknown";

/** A failure whose text tells the reader what to install: shown without a stack. */
export class SetupError extends Error {}

/** @param {string} text */
const say = (text) => console.log(`setup: ${text}`);

/**
 * @param {string} label
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: Record<string, string>, cwd?: string }} [options]
 */
async function install(label, program, args, options = {}) {
  say(`${program === process.execPath ? "" : `${program.split(/[\\/]/).pop()} `}${args.join(" ")}`);
  const started = Date.now();
  const { ok } = await run(program, args, { label, ...options });
  if (!ok) throw new SetupError(`\`${program} ${args.join(" ")}\` failed; what it said stands above, marked [${label}].`);
  say(`${label} installed in ${Math.round((Date.now() - started) / 1000)} s`);
}

function demandPrograms() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new SetupError(`Node.js 20.19 or newer is needed; this is ${process.versions.node}. Install it from https://nodejs.org.`);
  }
  if (!onPath("cargo")) throw new SetupError("Rust is not installed (no `cargo` on the PATH). Install it from https://rustup.rs.");
}

async function wasmTargetInstalled() {
  const libraries = execFileSync("rustc", ["--print", "target-libdir", "--target", wasmTarget], { cwd: root, encoding: "utf8" });
  if (existsSync(libraries.trim())) return say(`Rust can compile to ${wasmTarget}`);
  if (!onPath("rustup")) {
    throw new SetupError(`This Rust has no standard library for ${wasmTarget}, and there is no rustup to add it. ` +
      `Install Rust from https://rustup.rs.`);
  }
  await install("rust target", "rustup", ["target", "add", wasmTarget]);
}

/** Not of `bindgen`, which the build makes while it compiles the crate. */
async function runnerInstalled() {
  const { program, args, env } = bindgenCommand("runner");
  await install("wasm-bindgen's test runner", program, args, { env });
  say(`wasm-bindgen's test runner is ${bindgenPath("runner")}`);
}

/** The folders with an own lockfile. What two of them need has one version, because it is in the first. */
export const packageFolders = { all: ".", tests: "tests", reference: "pkg-templates/reference" };

/** The npm packages of one folder. @param {string} folder */
export async function npmPackagesInstalled(folder) {
  const at = join(root, folder);
  const lockfile = join(at, "package-lock.json");
  // npm writes this file last, so it also shows that an earlier installation came to its end.
  const installed = join(at, "node_modules", ".package-lock.json");
  const name = join(folder, "node_modules");
  if (!existsSync(lockfile)) throw new SetupError(`${join(folder, "package-lock.json")} is missing: run \`npm install\` there once and commit it.`);
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lockfile).mtimeMs) return say(`npm packages are in ${name}`);
  // On Windows npm is a script that only a shell can start; npm tells its own children where its real program is.
  const npm = process.env.npm_execpath;
  const [program, first] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  await install(`npm packages in ${name}`, program, [...first, "ci"], { cwd: at });
}

async function browsersInstalled() {
  const packages = { chromium: ["chromium", "fonts-liberation"], firefox: ["firefox-esr"] };
  /** @type {string[]} */
  const missing = [];
  for (const name of /** @type {const} */ (["chromium", "firefox"])) {
    const found = findBrowser(name);
    if (found) say(`${name} is ${found}`);
    else missing.push(...packages[name]);
  }
  if (missing.length === 0) return;
  if (!onPath("apt-get") || process.getuid?.() !== 0) {
    throw new SetupError(`The browser tests need Chromium and Firefox, and this is not Debian's root user, so install them yourself. ` +
      `On Debian: sudo apt-get install ${missing.join(" ")}. Elsewhere: have \`chromium\` and \`firefox\` on the PATH, ` +
      `or name them in CHROMIUM_BIN and FIREFOX_BIN.`);
  }
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await install("package lists", "apt-get", ["update", "-q"], { env });
  await install("browsers", "apt-get", ["install", "-q", "-y", "--no-install-recommends", ...missing], { env });
  for (const name of /** @type {const} */ (["chromium", "firefox"])) {
    if (!findBrowser(name)) throw new SetupError(`apt-get finished, and there is still no ${name} on the PATH.`);
  }
}

/** What more than the build of the package and the page somebody needs, and what installs it. */
const extras = {
  packages: () => npmPackagesInstalled(packageFolders.tests),
  reference: () => npmPackagesInstalled(packageFolders.reference),
  runner: runnerInstalled,
  browsers: browsersInstalled,
};

/** @typedef {keyof typeof extras} Extra */

/** @param {Extra[]} [needs] */
export async function setup(needs = []) {
  demandPrograms();
  await wasmTargetInstalled();
  // One compiles, the others download: side by side they take the time of the longest.
  const jobs = [npmPackagesInstalled(packageFolders.all), ...[...new Set(needs)].map((need) => extras[need]())];
  const failures = (await Promise.allSettled(jobs)).flatMap((job) => (job.status === "rejected" ? [job.reason] : []));
  if (failures.length > 0) throw failures.length === 1 ? failures[0] : new SetupError(failures.map((f) => f.message).join("\n"));
}

/** Ends the process with what went wrong, in words.
 * @param {unknown} error
 * @returns {never} */
export function giveUp(error) {
  console.error(error instanceof SetupError ? `\n${error.message}` : error);
  process.exit(1);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const given = new Set(process.argv.slice(2));
  const [browsers, tests] = [given.delete("--browsers"), given.delete("--tests")];
  const [unknown] = given;
  if (unknown !== undefined) giveUp(new SetupError(`unknown option ${unknown}; there are only --tests and --browsers`));
  await setup([...(tests ? /** @type {const} */ (["packages", "reference", "runner"]) : []), ...(browsers ? /** @type {const} */ (["packages", "browsers"]) : [])]).catch(giveUp);
}
