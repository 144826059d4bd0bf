// @ts-check
// The second mode of the page: is this model that merge, and what is it where it is not?
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { fakeHub } from "../fake-hub.mjs";
import { root } from "../setup/tools.mjs";
import { mergedFolder } from "./page-outputs.mjs";
import { describePage } from "./page-suite.mjs";
import { at, mergeNow, type } from "./page-use.mjs";

/** @typedef {import("./harness.mjs").TestPage} TestPage */

const sample = join(root, "tests", "fixtures", "sample");
const base = join(sample, "tiny-llama");
const [storyteller, terse] = ["storyteller-lora", "terse-rslora"].map((name) => join(sample, name));

/** @type {Awaited<ReturnType<typeof fakeHub>>} */
let hub;
after(() => hub?.close());

/** @param {string} folder */
const filesOf = async (folder) => Object.fromEntries(await Promise.all((await readdir(folder)).map(async (name) => [name, await readFile(join(folder, name))])));

async function startHub() {
  hub = await fakeHub();
  hub.push("org/tiny-llama", await filesOf(base));
  hub.push("me/storyteller-lora", await filesOf(storyteller));
  return hub.url;
}

/** @param {TestPage} tab @param {string} merged */
async function verifyNow(tab, merged) {
  const { page } = tab;
  if (await page.locator(at("merged-chosen")).isVisible()) await page.getByRole("button", { name: "Choose another merged model" }).click();
  await tab.setFolder(at("merged-folder"), merged);
  await page.waitForSelector(`${at("verify")}:enabled`);
  await page.click(at("verify"));
  await page.waitForSelector(at("verdict"));
  return page.getAttribute(at("verdict"), "data-verdict");
}

describePage(({ scratch, withPage, withSample }) => {
  test("a right merge is verified, and a wrong one is told by what it is", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.click(at("mode-verify"));
      assert.equal(await page.getAttribute(at("mode-verify"), "aria-pressed"), "true");
      assert.ok(await page.isHidden(at("merge")));
      await tab.setFolder(at("base-folder"), base);
      await tab.setFolder(at("adapter-folder"), storyteller);
      await type(page.locator(at("adapter-weight")), "0.5");
      await page.waitForSelector("#verify-hint >> text=Choose the merged model.");
      assert.ok(await page.isDisabled(at("verify")));
      const adapters = (/** @type {number} */ weight) => [{ path: storyteller, weight }];

      const right = await mergedFolder(scratch(), base, adapters(0.5));
      assert.equal(await verifyNow(tab, right), "bits");
      assert.equal(await page.innerText(at("verdict-sentence")), "Yes: merged is tiny-llama + 0.5 × storyteller-lora, in every bit.");
      assert.equal(await page.evaluate(() => document.activeElement?.id), "verify-heading");
      assert.equal(await page.locator(at("verdict-todo")).count(), 0);
      const cell = page.locator(`${at("verdict")} [role=gridcell]`).first();
      await cell.hover();
      assert.match(await page.locator(`${at("verdict")} .map-readout`).innerText(), /^model\.layers\.0\..*: equal in every bit$/);

      // A model in which the adapter has another weight, and one without it.
      assert.equal(await verifyNow(tab, await mergedFolder(scratch(), base, adapters(1))), "different");
      assert.equal(await page.innerText(at("verdict-sentence")), "No: merged is not tiny-llama + 0.5 × storyteller-lora.");
      assert.match(await page.innerText(at("verdict-instead")), /^14 tensors: what is added was [^\n]*applied at weight 1/);
      assert.match(await page.innerText(at("verdict-todo")), /What to do\s+Merge again/);
      assert.equal(await verifyNow(tab, base), "different");
      assert.match(await page.innerText(at("verdict-instead")), /^14 tensors: what is added was not applied: the base’s own values are there\.$/);
      const says = await cell.getAttribute("aria-label");
      assert.match(says ?? "", /: something else: what is added was not applied/);
      await page.click(`${at("verdict")} summary:has-text("All 20 tensors")`);
      await page.selectOption(`${at("verdict")} .tensors select`, "different");
      assert.equal(await page.locator(`${at("verdict")} .tensors tbody tr`).count(), 14);
      await page.locator(`${at("verdict")} thead`).getByRole("button", { name: "Bits equal" }).click();

      // A verdict is on what was asked: it goes when that changes.
      await type(page.locator(at("adapter-weight")), "1");
      assert.equal(await page.locator(at("verdict")).count(), 0);
      assert.equal(await verifyNow(tab, await mergedFolder(scratch(), base, adapters(1))), "bits");
      const report = await tab.download(() => page.click(at("verdict-json")));
      assert.equal(JSON.parse(report.bytes.toString()).counts.bits, 20);
    }));

  test("a merge by a method is verified by the method, and both modes have the same inputs", () =>
    withSample(async (tab) => {
      const { page } = tab;
      const right = await mergedFolder(scratch(), base, [{ path: storyteller }, { path: terse, weight: -0.5 }]);
      await page.selectOption(at("method"), "ties");
      await page.click(at("mode-verify"));
      await tab.setFolder(at("merged-folder"), right);
      // The weighted sum is not what TIES makes of the changes.
      assert.equal(await verifyNow(tab, right), "different");
      assert.match(await page.innerText(at("verdict-sentence")), /^No: merged is not .* by “TIES”\.$/);
      await page.selectOption(at("method"), "linear");
      await page.waitForSelector(at("verdict"), { state: "detached" });
      assert.equal(await verifyNow(tab, right), "bits");
      // Back to merging, all is there.
      await page.click(at("mode-merge"));
      assert.ok(await page.isHidden(at("verify")));
      await mergeNow(tab);
    }));

  test("an adapter that was chosen as the merged model is put under the adapters", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.click(at("mode-verify"));
      await tab.setFolder(at("merged-folder"), storyteller);
      await page.locator("#merged").getByRole("button", { name: /put it under the adapters/ }).click();
      await page.waitForSelector(at("adapter-name"));
      assert.equal(await page.inputValue(at("adapter-name")), "storyteller-lora");
      assert.equal(await page.locator(at("merged-chosen")).count(), 0);
    }));

  test("a model that is quite another one is told by what it lacks", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.click(at("mode-verify"));
      await tab.setFolder(at("base-folder"), base);
      await tab.setFolder(at("adapter-folder"), storyteller);
      assert.equal(await verifyNow(tab, join(root, "tests", "fixtures", "gpt2", "base")), "different");
      assert.match(await page.innerText(at("verdict-instead")), /20 tensors: missing\./);
      assert.match(await page.innerText(at("verdict-todo")), /Choose all of the merged model’s files/);
    }));

  test("a link opens the second mode, and names what is verified", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.waitForSelector(`${at("verify")}:enabled`);
      await page.click(at("verify"));
      await page.waitForSelector(at("verdict"));
      assert.match(await page.innerText(at("verdict-sentence")), /^No: org\/tiny-llama is not org\/tiny-llama \+ 0\.8 × storyteller-lora\.$/);
      await type(page.locator(at("adapter-weight")), "2");
      await page.waitForFunction((query) => decodeURIComponent(location.search) === query, "?mode=verify&base=org/tiny-llama&adapter=me/storyteller-lora@2&merged=org/tiny-llama");
      await page.click(at("mode-merge"));
      await page.waitForFunction((query) => decodeURIComponent(location.search) === query, "?base=org/tiny-llama&adapter=me/storyteller-lora@2");
    }, { query: "?mode=verify&base=org/tiny-llama&adapter=me/storyteller-lora@0.8&merged=hf://org/tiny-llama", misses: true }));
}, { hub: startHub });
