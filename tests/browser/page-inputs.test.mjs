// @ts-check
// What the page does with what it is given wrongly, too late, or where something is already.
import assert from "node:assert/strict";
import { test } from "node:test";
import { describePage } from "./page-suite.mjs";
import { at, mergeNow, planned, stubFolderPicker, type } from "./page-use.mjs";

/** @typedef {import("./harness.mjs").TestPage} TestPage */

/** Removing from the private file system, which a merge to there begins with, waits until `open` is called. @param {TestPage} tab */
async function gateTidying({ page }) {
  await page.evaluate(() => {
    const { prototype } = FileSystemDirectoryHandle;
    const { removeEntry } = prototype;
    const gate = new Promise((resolve) => Object.assign(window, { openGate: resolve }));
    prototype.removeEntry = async function (...given) {
      await gate;
      return removeEntry.apply(this, given);
    };
  });
  return { open: () => page.evaluate(() => Reflect.get(window, "openGate")()) };
}

/** What the folder that the stub of the picker gives has in it, by name. @param {TestPage} tab */
const pickedFolder = ({ page }) => page.evaluate(async () => {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
  /** @type {Record<string, string>} */
  const found = {};
  for await (const name of folder.keys()) found[name] = (await (await (await folder.getFileHandle(name)).getFile()).text()).slice(0, 20);
  return found;
});

describePage(({ withSample }) => {
  test("saving to a folder replaces nothing", () =>
    withSample(async (tab) => {
      const { page } = tab;
      await mergeNow(tab);
      for (const taken of ["config.json", "model-00003-of-00003.safetensors"]) {
        await page.evaluate(async (name) => {
          const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
          const writable = await (await folder.getFileHandle(name, { create: true })).createWritable();
          await writable.write("precious");
          await writable.close();
        }, taken);
        await page.click(at("save-folder"));
        await page.waitForSelector(`${at("result")} >> text=Not saved: the folder “picked” has a ${taken} already`);
        assert.deepEqual(await pickedFolder(tab), { [taken]: "precious" });
        await page.evaluate(async (name) => (await (await navigator.storage.getDirectory()).getDirectoryHandle("picked")).removeEntry(name), taken);
      }
      await page.click(at("save-folder"));
      await page.waitForSelector(`${at("result")} >> text=Saved.`);
      assert.equal(Object.keys(await pickedFolder(tab)).length, await page.locator(at("result-file")).count());
    }, { prepare: stubFolderPicker }));

  test("saving that fails leaves nothing in the folder", () =>
    withSample(async (tab) => {
      const { page } = tab;
      await mergeNow(tab);
      await page.evaluate(() => {
        let made = 0;
        const { prototype } = FileSystemFileHandle;
        const { createWritable } = prototype;
        prototype.createWritable = async function () {
          if (++made === 3) throw new Error("the disk is out");
          return createWritable.apply(this);
        };
      });
      await page.click(at("save-folder"));
      await page.waitForSelector(`${at("result")} >> text=Not saved: the disk is out`);
      assert.deepEqual(await pickedFolder(tab), {});
    }, { prepare: stubFolderPicker }));

  test("numbers have a decimal point or comma, and what is none is said", () =>
    withSample(async (tab) => {
      const { page } = tab;
      const weight = page.locator(at("adapter-weight")).first();
      const shown = page.locator(`${at("formula")} [title=weight]`).first();
      for (const [typed, read] of [["0,5", "0.5"], ["0.25", "0.25"], [",75", "0.75"], ["-1e-3", "0.001"], ["−2", "2"]]) {
        await type(weight, typed);
        assert.equal(await shown.innerText(), read, typed);
        assert.equal(await weight.getAttribute("aria-invalid"), "false", typed);
        await planned(tab);
      }
      for (const typed of ["abc", "1.000,5", "1,2,3", "0x10", "1e400", "5 kg", ""]) {
        await type(weight, typed);
        assert.equal(await weight.inputValue(), typed);
        assert.equal(await weight.getAttribute("aria-invalid"), "true", typed);
        await page.waitForSelector("#merge-hint >> text=must be a number, such as 0.5");
        assert.ok(await page.isDisabled(at("merge")), typed);
      }
      await type(weight, "0,1");
      await weight.press("ArrowDown");
      assert.equal(await weight.inputValue(), "0.05");
      await page.locator("summary:text-is('Settings')").first().click();
      const alpha = page.locator(at("adapter-alpha")).first();
      await type(alpha, "12,4");
      await page.waitForSelector(`${at("plan")} >> text=scale 1.55`);
      await alpha.press("ArrowUp");
      assert.equal(await alpha.inputValue(), "13.4");
      await type(alpha, "x");
      await page.waitForSelector(`${at("plan")} >> text=must be a number, such as 16`);
      await type(alpha, "");
      assert.equal(await alpha.getAttribute("aria-invalid"), "false");
      await planned(tab);
    }));

  test("a weight that changes leaves no old one in the plan", () =>
    withSample(async (tab) => {
      const { page } = tab;
      /** @param {string} section */
      const added = async (section) => {
        await page.click(`${section} summary:has-text("All 20 tensors")`);
        return page.locator(`${section} tbody tr:has-text("q_proj") td:last-child`).first().innerText();
      };
      const weight = page.locator(at("adapter-weight")).first();
      assert.match(await added(at("plan-details")), /^2 × storyteller-lora \(r 8\)/);
      await weight.press("ArrowUp");
      await mergeNow(tab);
      assert.match(await added(at("result")), /^1\.05 × 2 × storyteller-lora \(r 8\)/);
    }));

  test("from the click on, a merge is under way, and nothing that it was asked can be changed", () =>
    withSample(async (tab) => {
      const { page } = tab;
      await page.check(at("output-opfs"));
      const gate = await gateTidying(tab);
      await page.click(at("merge"));
      await page.waitForSelector(at("cancel"));
      for (const id of ["merge", "adapter-weight", "output-opfs", "try-sample"]) assert.ok(await page.locator(at(id)).first().isDisabled(), id);
      await gate.open();
      await page.waitForSelector(at("result"));
      assert.ok(await page.isEnabled(at("merge")));
    }));

  test("a merge is cancelled before its first byte, too", () =>
    withSample(async (tab) => {
      const { page } = tab;
      await page.check(at("output-opfs"));
      const gate = await gateTidying(tab);
      await page.click(at("merge"));
      await page.click(at("cancel"));
      await gate.open();
      await page.waitForSelector("text=Cancelled. Nothing was kept.");
      assert.ok(await page.isHidden(at("result")));
    }));

  test("a sample that arrives in the middle of a merge is not taken", () =>
    withSample(async (tab) => {
      const { page } = tab;
      await type(page.locator(at("adapter-weight")).first(), "0.5");
      await page.check(at("output-opfs"));
      const gate = await gateTidying(tab);
      let answer = () => {};
      const held = new Promise((resolve) => (answer = () => resolve(undefined)));
      await page.route("**/sample/manifest.json", async (route) => {
        await held;
        await route.continue();
      });
      await page.click(at("try-sample"));
      await page.click(at("merge"));
      await page.waitForSelector(at("cancel"));
      answer();
      await page.waitForSelector("text=The sample arrived in the middle of a merge and was not taken.");
      assert.equal(await page.locator(at("adapter-weight")).first().inputValue(), "0.5");
      await gate.open();
      await page.waitForSelector(at("result"));
      assert.equal(await page.innerText("#result-heading"), "Merged");
    }));

  test("an address that is none is refused at once, and says why", () =>
    withSample(async ({ page }) => {
      const complaint = page.locator("#adapter-input .complaint");
      const before = await page.locator(at("adapter")).count();
      for (const [address, says] of /** @type {[string, RegExp][]} */ ([
        ["", /That is no address/],
        ["ftp://example.org/model", /That is no address/],
        ["https://", /misspelt/],
        ["https:///model", /misspelt/],
        ["https://exa mple.org/model", /misspelt/],
        ["https://[::1/model", /misspelt/],
        ["https://example.org:99999/model", /misspelt/],
        ["https://me:secret@example.org/model", /user name or password/],
        ["https://example.org/100%/model", /% that is not followed/],
        ["hf://organisation", /names no model/],
        ["https://huggingface.co/datasets/organisation/name", /a data set, not a model/],
        ["hf://organisation/name@", /no revision behind the @/],
      ])) {
        await page.fill(at("adapter-url"), address);
        await page.click(at("adapter-add-url"));
        assert.match(await complaint.innerText(), says, address);
        assert.equal(await page.inputValue(at("adapter-url")), address, "what was typed is gone");
      }
      assert.equal(await page.locator(at("adapter")).count(), before);
    }));
});
