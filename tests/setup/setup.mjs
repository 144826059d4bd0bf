// @ts-check
// Installs what this checkout needs and doesn't have yet; run again, it finds everything there and does nothing.
//   node tests/setup/setup.mjs              Rust's wasm target, wasm-bindgen's command-line tool, npm packages
//   node tests/setup/setup.mjs --browsers   also Chromium and Firefox, for the tests
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { run } from "./run.mjs";
import { findBindgenTool, findBrowser, localTools, lockedBindgenVersion, onPath, root, toolPath } from "./tools.mjs";

export { findBrowser, toolPath };

const wasmTarget = "wasm32-unknown-unknown";

/** A failure whose text tells the reader what to install: shown without a stack. */
export class SetupError extends Error {}

/** @param {string} text */
const say = (text) => console.log(`setup: ${text}`);

/**
 * @param {string} label
 * @param {string} program
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 */
async function install(label, program, args, env) {
  say(`${program === process.execPath ? "" : `${program.split(/[\\/]/).pop()} `}${args.join(" ")}`);
  const started = Date.now();
  const { ok } = await run(program, args, { label, env });
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

async function bindgenInstalled() {
  const version = lockedBindgenVersion();
  const found = findBindgenTool("wasm-bindgen");
  if (found && findBindgenTool("wasm-bindgen-test-runner")) return say(`wasm-bindgen ${version} is ${found}`);
  // Built with light optimisation: a third of the time to compile, and it still handles our wasm in well under a second.
  await install("wasm-bindgen", "cargo", ["install", "wasm-bindgen-cli", "--version", version, "--root", localTools, "--force"], {
    CARGO_PROFILE_RELEASE_OPT_LEVEL: "1",
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "256",
    CARGO_TERM_PROGRESS_WHEN: "never",
    // A job's own flags (-D warnings, target features) are about our code, not about the tool's.
    RUSTFLAGS: "",
  });
}

async function npmPackagesInstalled() {
  const lockfile = join(root, "package-lock.json");
  // npm writes this file last, so it also shows that an earlier installation came to its end.
  const installed = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(lockfile)) throw new SetupError("package-lock.json is missing: run `npm install` once and commit it.");
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lockfile).mtimeMs) return say("npm packages are in node_modules");
  // On Windows npm is a script that only a shell can start; npm tells its own children where its real program is.
  const npm = process.env.npm_execpath;
  if (npm?.endsWith(".js")) await install("npm packages", process.execPath, [npm, "ci"]);
  else await install("npm packages", "npm", ["ci"]);
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
  await install("package lists", "apt-get", ["update", "-q"], env);
  await install("browsers", "apt-get", ["install", "-q", "-y", "--no-install-recommends", ...missing], env);
  for (const name of /** @type {const} */ (["chromium", "firefox"])) {
    if (!findBrowser(name)) throw new SetupError(`apt-get finished, and there is still no ${name} on the PATH.`);
  }
}

/**
 * @param {{ browsers?: boolean }} [options]
 */
export async function setup({ browsers = false } = {}) {
  demandPrograms();
  await wasmTargetInstalled();
  // One compiles, the others download: side by side they take the time of the longest.
  const jobs = [bindgenInstalled(), npmPackagesInstalled()];
  if (browsers) jobs.push(browsersInstalled());
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
  const unknown = process.argv.slice(2).filter((argument) => argument !== "--browsers");
  if (unknown.length > 0) giveUp(new SetupError(`unknown option ${unknown[0]}; there is only --browsers`));
  await setup({ browsers: process.argv.includes("--browsers") }).catch(giveUp);
}
