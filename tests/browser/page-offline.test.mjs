// @ts-check
// The page without a network: after the first visit it works, and a new version takes the old one's place.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { browserNames, launch } from "./harness.mjs";
import { at, buildPage, mergeNow, planned } from "./page-use.mjs";
import { serve } from "./serve.mjs";

/** What is kept, by the names of the caches. @param {import("playwright-core").Page} page */
const keptCaches = (page) => page.evaluate(() => caches.keys());

for (const name of browserNames) {
  describe(`without a network, in ${name}`, () => {
    test("the page works after its first visit, and is the newest that was seen", async () => {
      const scratch = await mkdtemp(join(tmpdir(), "lorafold-offline-"));
      const folder = join(scratch, "site");
      await buildPage(folder, "", "1.0.0");
      const site = await serve(folder);
      const browser = await launch(name);
      const version = (/** @type {import("playwright-core").Page} */ page) => page.innerText("#version");
      try {
        const tab = await browser.open();
        const { page } = tab;
        await page.goto(site.origin);
        await page.waitForSelector("#offline:not([hidden])");
        const [first, ...others] = await keptCaches(page);
        assert.deepEqual(others, []);

        // A new version is seen at once, and kept beside the one that may still be in use.
        await buildPage(folder, "", "2.0.0");
        await page.reload();
        assert.equal(await version(page), "Version 2.0.0");
        for (let kept = 1; kept < 2; kept = (await keptCaches(page)).length) await page.waitForTimeout(50);
        await page.waitForFunction(() => navigator.serviceWorker.getRegistration().then((registration) => registration?.waiting?.state === "installed"));

        // It takes over when nobody has the old one open any more.
        const again = async () => {
          await page.goto("about:blank");
          // The driver of Chromium waits for ever where one worker begins as the other ends.
          await page.waitForTimeout(500);
          await page.goto(site.origin);
        };
        await again();
        for (let caches = await keptCaches(page); caches.length > 1; caches = await keptCaches(page)) {
          await again();
        }
        assert.notDeepEqual(await keptCaches(page), [first]);

        await site.close();
        await page.goto(`${site.origin}/?sample`);
        assert.equal(await version(page), "Version 2.0.0");
        await planned(tab);
        await mergeNow(tab);
        // A part of the page that is loaded when it is needed.
        const { bytes } = await tab.download(() => page.click(at("download-zip")));
        assert.equal(bytes.subarray(0, 2).toString(), "PK");
      } finally {
        await browser.close();
        await site.close().catch(() => undefined);
        await rm(scratch, { recursive: true, force: true });
      }
    });
  });
}
