// @ts-check
// The frame of a file of page tests: the page built once, a browser of each kind, a tab for each test.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe } from "node:test";
import { browserNames, launch } from "./harness.mjs";
import { planned, servePage } from "./page-use.mjs";

/** @typedef {import("./harness.mjs").TestPage} TestPage */

/**
 * @typedef {object} Suite
 * @property {import("./harness.mjs").BrowserName} name
 * @property {() => string} scratch a folder that goes with the tests
 * @property {(use: (tab: TestPage) => Promise<void>, options?: Visit) => Promise<void>} withPage opens the page; it must complain about nothing
 * @property {(use: (tab: TestPage) => Promise<void>, options?: Visit) => Promise<void>} withSample the same with the sample, planned
 */

/** @typedef {{ query?: string, prepare?: (page: import("playwright-core").Page) => Promise<unknown>, misses?: boolean }} Visit `misses`: servers are asked for files that they may not have */

/** @param {(suite: Suite) => void} define is called for each browser @param {{ hub?: () => Promise<string> }} [options] `hub`: gives the mirror of the hub that the page is built for */
export function describePage(define, { hub } = {}) {
  let scratch = "";
  /** @type {import("./serve.mjs").TestServer} */
  let site;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "lorafold-page-"));
    site = await servePage(scratch, await hub?.());
  });
  after(async () => {
    await site?.close();
    await rm(scratch, { recursive: true, force: true });
  });

  for (const name of browserNames) {
    describe(`the page in ${name}`, () => {
      /** @type {import("./harness.mjs").TestBrowser} */
      let browser;
      before(async () => {
        browser = await launch(name);
      });
      after(() => browser?.close());

      /** @type {Suite["withPage"]} */
      const withPage = async (use, { query = "", prepare, misses = false } = {}) => {
        // The page of another test must not answer for this one's. (What is kept for later has tests of its own.)
        const tab = await browser.open({ serviceWorkers: "block" });
        try {
          await prepare?.(tab.page);
          await tab.page.goto(`${site.origin}/${query}`);
          await use(tab);
          assert.deepEqual(tab.problems.filter((problem) => !(misses && problem.includes("a status of 404"))), []);
        } finally {
          await tab.close();
        }
      };
      define({
        name,
        scratch: () => scratch,
        withPage,
        withSample: (use, visit) =>
          withPage(async (tab) => {
            await planned(tab);
            await use(tab);
          }, { ...visit, query: "?sample" }),
      });
    });
  }
}
