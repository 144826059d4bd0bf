// @ts-check
// What is to be seen and heard: numbers as they were entered, names that tell fields apart, nothing that is cut or lost.
import assert from "node:assert/strict";
import { test } from "node:test";
import { describePage } from "./page-suite.mjs";
import { at, mergeNow, planned, type } from "./page-use.mjs";

describePage(({ name, withPage, withSample }) => {
  test("numbers are shown as they were entered", () =>
    withSample(async (tab) => {
      const { page } = tab;
      const weight = page.locator(at("adapter-weight")).first();
      const shown = page.locator(`${at("formula")} [title=weight]`).first();
      for (const [typed, read] of [["1.0004", "1.0004"], ["-123456789,123", "123456789.123"], ["1e300", "1×10³⁰⁰"]]) {
        await type(weight, typed);
        assert.equal(await shown.innerText(), read);
      }
      await weight.press("ArrowUp");
      assert.equal(await weight.inputValue(), "1e+300");
      await type(weight, "1.0004");
      await page.getByText("Options").click();
      await type(page.locator("[name=maxShardSize]"), "1,5GB");
      assert.equal(await page.getAttribute("[name=maxShardSize]", "aria-invalid"), "false");
      await mergeNow(tab);
      await page.click(`${at("result")} summary:has-text("All 20 tensors")`);
      assert.match(await page.locator(`${at("result")} tbody tr:has-text("q_proj") td:last-child`).first().innerText(), /^1\.0004 × 2 × storyteller-lora/);
    }));

  test("every field says of which adapter it is, what it holds, and what is wrong with it", () =>
    withSample(async (tab) => {
      const { page } = tab;
      for (const summary of await page.locator(".adapter summary").all()) await summary.click();
      const named = async (/** @type {string} */ name) => assert.equal(await page.getByRole("textbox", { name, exact: true }).count(), 1, name);
      for (const adapter of ["storyteller-lora", "terse-rslora"]) {
        assert.equal(await page.getByLabel(`Name of the adapter ${adapter}`).count(), 1);
        // The name of an alpha's field is its text and whatever names the adapter.
        const alpha = page.locator(at("adapter")).filter({ has: page.locator(`[value="${adapter}"]`) }).locator(at("adapter-alpha"));
        assert.deepEqual(await labels(alpha), ["Use this lora_alpha instead", adapter]);
        assert.deepEqual(await labels(page.locator(at("adapter")).filter({ has: page.locator(`[value="${adapter}"]`) }).locator("summary")), ["Settings", adapter]);
      }
      await type(page.locator(at("adapter-name")).first(), "teller");
      await page.press(`${at("adapter-name")} >> nth=0`, "Enter");
      await named("Name of the adapter teller");

      await type(page.locator(at("adapter-weight")).first(), "5");
      assert.equal(await page.locator(".slider-range").first().getAttribute("aria-valuetext"), "5");
      await page.locator(".slider-range").first().press("ArrowLeft");
      assert.equal(await page.locator(".slider-range").first().getAttribute("aria-valuetext"), "1.95");

      await page.getByText("Options").click();
      for (const field of ["only", "skip"]) {
        await page.fill(`[name=${field}]`, "(");
        await page.waitForSelector(`[name=${field}][aria-invalid=true][aria-describedby=plan-error]`);
        await page.fill(`[name=${field}]`, "");
        await planned(tab);
        assert.equal(await page.getAttribute(`[name=${field}]`, "aria-invalid"), "false");
      }
    }));

  test("nothing is cut that has room, on a phone and on a desk", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const cut = () => page.evaluate(() => [...document.querySelectorAll("input.adapter-name, .address input")].filter((input) => {
        const field = /** @type {HTMLInputElement} */ (input);
        field.value ||= field.placeholder;
        return field.scrollWidth > field.clientWidth;
      }).map((input) => /** @type {HTMLInputElement} */ (input).value));
      for (const width of [360, 1280]) {
        await page.setViewportSize({ width, height: 900 });
        await page.goto(new URL("/", page.url()).href);
        assert.deepEqual(await cut(), [], `at ${width}`);
        assert.ok(await page.evaluate(() => [...document.querySelectorAll(".source-input")].every((box) => box.scrollWidth <= box.clientWidth)), `a box is overfull at ${width}`);
        await page.reload();
        await page.click(at("try-sample"));
        await planned(tab);
        assert.deepEqual(await cut(), [], `at ${width}`);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `wider than the window at ${width}`);
      }
      await page.click("summary:has-text('All 20 tensors')");
      const [table, room] = await Promise.all(["table", ".scroll"].map((part) => page.locator(`${at("plan-details")} ${part}`).boundingBox()));
      assert.ok(table && room && table.x + table.width <= room.x + room.width + 1, "what is added is off to the right");
    }));

  // Only Chromium's driver can ask for forced colours.
  if (name === "chromium") test("the bars are to be seen in forced colours", () =>
    withSample(async (tab) => {
      const { page } = tab;
      await page.emulateMedia({ forcedColors: "active" });
      const [behind, bar] = await page.evaluate(() => [".bar", ".bar > span"].map((part) => {
        const element = document.querySelector(part);
        return element && getComputedStyle(element).backgroundColor;
      }));
      assert.notEqual(bar, behind);
      await page.evaluate(() => document.querySelector("#progress")?.removeAttribute("hidden"));
      const [before, after] = [await page.locator("progress").screenshot(), await page.evaluate(() => document.querySelector("progress")?.setAttribute("value", "1")).then(() => page.locator("progress").screenshot())];
      assert.notDeepEqual(before, after, "a full progress bar looks like an empty one");
    }));
});

/** What an element is labelled by: texts, and the contents of fields. @param {import("playwright-core").Locator} element */
const labels = (element) =>
  element.evaluate((labelled) => (labelled.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => {
    const by = document.getElementById(id);
    return by instanceof HTMLInputElement ? by.value : by?.textContent;
  }));
