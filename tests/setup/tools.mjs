// @ts-check
// Where the programs are that the project needs, found by name and never by a guess at a machine's layout.
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout's top folder. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

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

/**
 * The script behind a command of an npm package, to be started with `process.execPath` (no shell, no .cmd files).
 * @param {string} packageName
 * @param {string} command
 */
export function npmScript(packageName, command) {
  // From here both are found: the packages of the tests and, above them, those that everything needs.
  const manifest = createRequire(import.meta.url).resolve(`${packageName}/package.json`);
  const { bin } = JSON.parse(readFileSync(manifest, "utf8"));
  return join(dirname(manifest), typeof bin === "string" ? bin : bin[command]);
}
