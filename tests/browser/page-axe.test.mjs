// @ts-check
// The page by axe-core: in both themes and browsers, empty, planned, with an error, merged, and with everything unfolded.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import axe from "axe-core";
import { root } from "../setup/tools.mjs";
import { browserNames, launch } from "./harness.mjs";
import { at, mergeNow, planned, servePage } from "./page-use.mjs";

/** What axe finds wrong, as "rule: element". @param {import("playwright-core").Page} page @param {string} state */
async function clean(page, state) {
  // Transitions end, or colours are those on the way.
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished)));
  const found = await page.evaluate(async () => {
    const { violations } = await Reflect.get(window, "axe").run();
    return violations.flatMap((/** @type {any} */ { id, nodes }) => nodes.map((/** @type {any} */ node) => `${id}: ${node.html.slice(0, 160)} ${node.any.map((/** @type {any} */ one) => one.message).join(" ")}`));
  });
  assert.deepEqual(found, [], state);
}

/** @type {import("./serve.mjs").TestServer} */
let site;
let scratch = "";
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "lorafold-axe-"));
  site = await servePage(scratch);
});
after(async () => {
  await site?.close();
  await rm(scratch, { recursive: true, force: true });
});

for (const name of browserNames) {
  for (const dark of [false, true]) {
    describe(`axe in ${name}, ${dark ? "dark" : "light"}`, () => {
      test("finds nothing", async () => {
        const browser = await launch(name, { dark });
        try {
          const tab = await browser.open({ serviceWorkers: "block" });
          const { page } = tab;
          await page.goto(site.origin);
          assert.equal(await page.evaluate(() => matchMedia("(prefers-color-scheme: dark)").matches), dark);
          await page.evaluate(axe.source);
          await clean(page, "empty");
          await tab.setFolder(at("base-folder"), join(root, "tests", "fixtures", "gpt2", "base"));
          await tab.setFolder(at("adapter-folder"), join(root, "tests", "fixtures", "sample", "storyteller-lora"));
          await page.waitForSelector(`${at("plan-error")} .error`);
          await clean(page, "with an error");
          await page.click(at("try-sample"));
          await planned(tab);
          await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
          await page.waitForSelector(`${at("plan-details")} table`);
          await clean(page, "planned, and unfolded");
          await page.selectOption(at("method"), "della");
          await planned(tab);
          await clean(page, "with a method");
          await page.selectOption(at("method"), "ties");
          await mergeNow(tab);
          await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
          await page.waitForSelector(`${at("result")} table`);
          await clean(page, "merged, and unfolded");
          await page.setViewportSize({ width: 360, height: 740 });
          await clean(page, "on a phone");
          await page.selectOption(at("method"), "linear");
          await planned(tab);
          await page.click(at("mode-verify"));
          await tab.setFolder(at("merged-folder"), join(root, "tests", "fixtures", "sample", "tiny-llama"));
          await page.waitForSelector(`${at("verify")}:enabled`);
          await page.click(at("verify"));
          await page.waitForSelector(at("verdict"));
          await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
          await page.waitForSelector(`${at("verdict")} table`);
          await clean(page, "a verdict on a phone");
          await page.setViewportSize({ width: 1280, height: 900 });
          await clean(page, "a verdict");
        } finally {
          await browser.close();
        }
      });
    });
  }
}
