// @ts-check
// Where the programs are that the project needs, found by name and never by a guess at a machine's layout.
import { execFileSync } from "node:child_process";
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout's top folder. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Programs that setup installs for this checkout alone (git ignores it). */
export const localTools = join(root, ".tools");

/** @typedef {"chromium" | "firefox"} BrowserName */

/** A name of its own first, so that a machine with several can choose one. */
const browsers = {
  chromium: { variable: "CHROMIUM_BIN", names: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"] },
  firefox: { variable: "FIREFOX_BIN", names: ["firefox-esr", "firefox"] },
};

/** @param {string} file */
function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/**
 * The first program of that name in these folders.
 * @param {string} name
 * @param {string[]} folders
 */
function findIn(name, folders) {
  const suffix = process.platform === "win32" ? ".exe" : "";
  return folders.map((folder) => join(folder, name + suffix)).find(isProgram);
}

/** @param {string} name */
export function onPath(name) {
  return findIn(name, (process.env.PATH ?? "").split(delimiter).filter(Boolean));
}

/**
 * The path of an installed browser, or undefined.
 * @param {BrowserName} name
 */
export function findBrowser(name) {
  const { variable, names } = browsers[name];
  const chosen = process.env[variable];
  if (chosen) return isProgram(chosen) ? chosen : undefined;
  for (const candidate of names) {
    const found = onPath(candidate);
    if (found) return found;
  }
  return undefined;
}

/** The wasm-bindgen version that Cargo.lock fixes: the command-line tool must be exactly this one. */
export function lockedBindgenVersion() {
  let lock;
  try {
    lock = readFileSync(join(root, "Cargo.lock"), "utf8");
  } catch {
    throw new Error("Cargo.lock is missing: run `cargo generate-lockfile` and commit it.");
  }
  const version = /^name = "wasm-bindgen"\r?\nversion = "([^"]+)"/m.exec(lock)?.[1];
  if (!version) throw new Error("Cargo.lock names no wasm-bindgen: is it still a dependency in Cargo.toml?");
  return version;
}

/**
 * @param {string} program
 * @returns {string | undefined} what `program --version` says, such as 0.2.130
 */
function versionOf(program) {
  try {
    return /\d+\.\d+\.\d+\S*/.exec(execFileSync(program, ["--version"], { encoding: "utf8" }))?.[0];
  } catch {
    return undefined;
  }
}

/**
 * The path of a wasm-bindgen tool of exactly the locked version, or undefined.
 * @param {"wasm-bindgen" | "wasm-bindgen-test-runner"} name
 */
export function findBindgenTool(name) {
  const wanted = lockedBindgenVersion();
  const cargoBin = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "bin");
  const path = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  for (const folder of [join(localTools, "bin"), cargoBin, ...path]) {
    const program = findIn(name, [folder]);
    if (program && versionOf(program) === wanted) return program;
  }
  return undefined;
}

/**
 * The path of a tool that setup installs; an error that says what to do where it isn't there.
 * @param {"wasm-bindgen" | "wasm-bindgen-test-runner"} name
 */
export function toolPath(name) {
  const found = findBindgenTool(name);
  if (!found) throw new Error(`${name} ${lockedBindgenVersion()} is not installed: run \`node tests/setup/setup.mjs\`.`);
  return found;
}

/**
 * The script behind a command of an npm package, to be started with `process.execPath` (no shell, no .cmd files).
 * @param {string} packageName
 * @param {string} command
 */
export function npmScript(packageName, command) {
  const folder = join(root, "node_modules", packageName);
  const { bin } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return join(folder, typeof bin === "string" ? bin : bin[command]);
}
