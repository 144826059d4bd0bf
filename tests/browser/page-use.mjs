// @ts-check
// How the tests of the page build, serve and use it.
import { join } from "node:path";
import { build } from "vite";
import { root } from "../setup/tools.mjs";
import { serve } from "./serve.mjs";

/** @typedef {import("./harness.mjs").TestPage} TestPage */

/** The selector of what has that test id. @param {string} id */
export const at = (id) => `[data-testid=${id}]`;

/** The page, built into a folder and served. @param {string} scratch @param {string} [hub] the mirror that it is built for */
export async function servePage(scratch, hub) {
  const outDir = join(scratch, "site");
  await buildPage(outDir, hub);
  return serve(outDir);
}

/** Build the page into a folder. @param {string} outDir @param {string} [hub] @param {string} [version] what it says of itself */
export async function buildPage(outDir, hub = "", version) {
  const define = version === undefined ? {} : { "import.meta.env.LORAFOLD_VERSION": JSON.stringify(version) };
  const before = process.env.HF_ENDPOINT;
  process.env.HF_ENDPOINT = hub;
  try {
    await build({ root: join(root, "www"), logLevel: "warn", define, build: { outDir, emptyOutDir: true } });
  } finally {
    if (before === undefined) delete process.env.HF_ENDPOINT;
    else process.env.HF_ENDPOINT = before;
  }
}

/** No driver can answer the picker, and Firefox has none: it gives the folder "picked". @param {import("playwright-core").Page} page */
export async function stubFolderPicker(page) {
  await page.addInitScript(() => {
    const showDirectoryPicker = async () => (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
    Object.assign(window, { showDirectoryPicker });
  });
}

/** The plan is made, and nothing is missing. @param {TestPage} tab */
export async function planned({ page }) {
  await page.waitForSelector(`body:has(#plan-body[aria-busy=false]) ${at("merge")}:enabled`);
}

/** @param {TestPage} tab */
export async function mergeNow(tab) {
  await planned(tab);
  await tab.page.click(at("merge"));
  await tab.page.waitForSelector(at("result"));
}

/**
 * As a person does: Playwright's `fill` adds to what is in a number field of Firefox, instead of replacing it.
 * @param {import("playwright-core").Locator} field
 * @param {string} text
 */
export async function type(field, text) {
  await field.press("ControlOrMeta+a");
  await field.press("Delete");
  await field.pressSequentially(text);
}
