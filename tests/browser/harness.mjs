// @ts-check
// Debian's Chromium and its stock Firefox behind one small interface; pages are playwright-core's own `Page`.
//
// Chromium is driven over its DevTools protocol. Playwright's usual Firefox protocol needs a patched Firefox, so Firefox is
// driven over WebDriver BiDi, which a stock one speaks (Playwright's channel "moz-firefox"). Two things that BiDi can't do
// in today's ESR are done here in another way: picking a folder, and hearing of the download of a blob.
//
// playwright-core stays at 1.64.1: 1.65 sends emulation.setMediaFeaturesOverride, which Firefox ESR 153 doesn't know.
import { on } from "node:events";
import { watch } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, firefox } from "playwright-core";
import { findBrowser } from "../setup/tools.mjs";
import { firefoxOffline } from "./firefox-offline.mjs";
import { pickFolder } from "./pick-folder.mjs";

export { chromium };

/** @typedef {"chromium" | "firefox"} BrowserName */
/** @typedef {{ name: string, bytes: Buffer }} Downloaded */

/**
 * @typedef {object} TestPage
 * @property {import("playwright-core").Page} page goto, click, keyboard, evaluate, screenshot and the rest
 * @property {string[]} problems uncaught errors and everything from console.error, in order
 * @property {string[]} messages every console message as "type: text"
 * @property {(selector: string, files: string[]) => Promise<void>} setFiles picks files for an <input type=file>
 * @property {(selector: string, folder: string) => Promise<void>} setFolder picks a folder for an <input webkitdirectory>
 * @property {(action: () => Promise<unknown>, timeout?: number) => Promise<Downloaded>} download what the action makes the page save
 * @property {() => Promise<void>} close ends the page and its context: storage, OPFS, workers
 */

/**
 * @typedef {object} TestBrowser
 * @property {BrowserName} name
 * @property {string} version
 * @property {(options?: import("playwright-core").BrowserContextOptions) => Promise<TestPage>} open a page in a context of its own
 * @property {() => Promise<void>} close
 */

/** BiDi cannot ask for dark pages; the browser's own setting can. */
const DARK = { "layout.css.prefers-color-scheme.content-override": 0 };

/** @type {readonly BrowserName[]} */
export const browserNames = ["chromium", "firefox"];

const chromiumArguments = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
  // Containers give /dev/shm 64 MB, and Chromium's shared memory dies there.
  "--disable-dev-shm-usage",
];

/**
 * @param {BrowserName} name
 * @param {{ dark?: boolean }} [options] `dark`: the user prefers dark pages
 * @returns {Promise<TestBrowser>}
 */
export async function launch(name, { dark = false } = {}) {
  const executablePath = findBrowser(name);
  if (!executablePath) throw new Error(`${name} is not installed: run \`node tests/setup/setup.mjs --browsers\`.`);
  const downloads = await mkdtemp(join(tmpdir(), "lorafold-downloads-"));
  const browser = name === "chromium"
    ? await chromium.launch({ executablePath, args: chromiumArguments, downloadsPath: downloads, timeout: 60_000 })
    : await firefox.launch({
        executablePath, channel: "moz-firefox", firefoxUserPrefs: { ...firefoxOffline, ...(dark && DARK) }, downloadsPath: downloads, timeout: 60_000,
      });
  return {
    name,
    version: browser.version(),
    open: (options) => openPage(name, browser, downloads, { ...(dark && name === "chromium" && { colorScheme: "dark" }), ...options }),
    async close() {
      await browser.close();
      await rm(downloads, { recursive: true, force: true });
    },
  };
}

/**
 * @param {BrowserName} name
 * @param {import("playwright-core").Browser} browser
 * @param {string} downloads
 * @param {import("playwright-core").BrowserContextOptions} [options]
 * @returns {Promise<TestPage>}
 */
async function openPage(name, browser, downloads, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  /** @type {string[]} */
  const problems = [];
  /** @type {string[]} */
  const messages = [];
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    messages.push(`${message.type()}: ${message.text()}`);
    if (message.type() === "error") problems.push(message.text());
  });
  return {
    page,
    problems,
    messages,
    setFiles: (selector, files) => page.setInputFiles(selector, files),
    setFolder: (selector, folder) => (name === "chromium" ? page.setInputFiles(selector, folder) : pickFolder(page, selector, folder)),
    download: (action, timeout = 30_000) =>
      name === "chromium" ? downloadByEvent(page, action, timeout) : downloadByFolder(downloads, action, timeout),
    close: () => context.close(),
  };
}

/**
 * @param {import("playwright-core").Page} page
 * @param {() => Promise<unknown>} action
 * @param {number} timeout
 * @returns {Promise<Downloaded>}
 */
async function downloadByEvent(page, action, timeout) {
  const [download] = await Promise.all([page.waitForEvent("download", { timeout }), action()]);
  return { name: download.suggestedFilename(), bytes: await readFile(await download.path()) };
}

/**
 * Firefox ESR announces a blob's download without the id that Playwright wants, and saves it all the same, under its own
 * name: so the folder is watched instead. Firefox makes an empty file of the final name, writes a .part beside it, moves that in its
 * place, and sets its mode at last: the only change of a file that is no .part.
 * @param {string} folder
 * @param {() => Promise<unknown>} action
 * @param {number} timeout
 * @returns {Promise<Downloaded>}
 */
async function downloadByFolder(folder, action, timeout) {
  const watcher = watch(folder);
  try {
    const events = on(watcher, "change", { signal: AbortSignal.timeout(timeout) });
    await action();
    for await (const [kind, name] of events) {
      if (kind === "change" && !name.endsWith(".part")) return { name, bytes: await readFile(join(folder, name)) };
    }
    throw new Error("the folder is no longer watched");
  } catch (error) {
    if (/** @type {Error} */ (error).name !== "AbortError") throw error;
    throw new Error(`nothing was downloaded within ${timeout} ms`);
  } finally {
    watcher.close();
  }
}
