// @ts-check
// Methods of merging several adapters on the page: what is asked, what is said, what comes out, and what is shown of it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../setup/tools.mjs";
import { byCommandLine, choose, downloadAll, mergedFolder } from "./page-outputs.mjs";
import { describePage } from "./page-suite.mjs";
import { at, mergeNow, planned, type } from "./page-use.mjs";

/** @typedef {import("./harness.mjs").TestPage} TestPage */

const sample = join(root, "tests", "fixtures", "sample");
const base = join(sample, "tiny-llama");
const [storyteller, terse] = ["storyteller-lora", "terse-rslora"].map((name) => join(sample, name));

/** The options of the method that are to be seen. @param {TestPage} tab */
const asked = ({ page }) =>
  page.locator("#method [data-testid^=method-]:visible").evaluateAll((all) => all.map((one) => one.getAttribute("data-testid")?.replace("method-", "")).filter((name) => name !== "says"));

/** What the method has, and whether it takes weights. @type {Record<string, [string[], boolean?]>} */
const HAVE = {
  linear: [[]],
  magnitude_prune: [["density", "normalize"]],
  ties: [["density", "majoritySign", "normalize", "flavor"]],
  breadcrumbs: [["density", "gamma", "normalize"]],
  breadcrumbs_ties: [["density", "gamma", "majoritySign", "normalize"]],
  dare_linear: [["density", "seed", "normalize", "flavor"]],
  dare_ties: [["density", "seed", "majoritySign", "normalize", "flavor"]],
  della_linear: [["density", "epsilon", "seed", "normalize"]],
  della: [["density", "epsilon", "seed", "majoritySign", "normalize"]],
  sce: [["density"], true],
  model_stock: [[], true],
  karcher: [[], true],
  slerp: [[]],
  nuslerp: [[]],
};

describePage(({ scratch, withPage, withSample }) => {
  test("each method says what it does, asks for what it has, and can be planned as it stands", () =>
    withSample(async (tab) => {
      const { page } = tab;
      const names = await page.locator(`${at("method")} option`).evaluateAll((all) => all.map((one) => /** @type {HTMLOptionElement} */ (one).value));
      const schema = await readFile(join(root, "pkg-templates", "src", "schema.ts"), "utf8");
      const listed = /method\?: ("linear"[^,;]*),/.exec(schema)?.[1]?.split(" | ").map((name) => JSON.parse(name));
      assert.deepEqual([...names].sort(), [...(listed ?? [])].sort());
      const said = new Set();
      for (const name of names) {
        await page.selectOption(at("method"), name);
        const [options, weightless = false] = HAVE[name];
        assert.deepEqual((await asked(tab)).sort(), [...options].sort(), name);
        assert.equal(await page.locator(at("adapter-weight")).first().isDisabled(), weightless, name);
        assert.equal(await page.locator(at("adapter-density")).first().isVisible(), options.includes("density") && !weightless, name);
        const says = await page.innerText(at("method-says"));
        assert.match(says, /^[A-Z].*\.$/);
        said.add(says);
        await planned(tab);
        assert.equal(await page.innerText(at("plan-error")), "", name);
      }
      assert.equal(said.size, names.length);
    }));

  test("the method is asked for as soon as there are several adapters, and never before", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await choose(tab, base, [{ path: storyteller }]);
      await planned(tab);
      assert.ok(await page.isHidden("#method"));
      await tab.setFolder(at("adapter-folder"), terse);
      await page.waitForSelector(at("method"));
      await page.selectOption(at("method"), "slerp");
      await planned(tab);
      await tab.setFolder(at("adapter-folder"), storyteller);
      await page.waitForSelector(`${at("plan-error")} >> text=The method cannot be used like this`);
      assert.match(await page.innerText(at("plan-error")), /there are 3; give two, or take the method “Karcher mean”|Give two, or take the method “Karcher mean”/);
      assert.equal(await page.getAttribute(at("method"), "aria-invalid"), "true");
      await page.getByRole("button", { name: "Remove storyteller-lora (2)" }).click();
      await planned(tab);
    }));

  for (const [name, flags, fill] of /** @type {[string, string[], (page: import("playwright-core").Page) => Promise<unknown>][]} */ ([
    ["ties", ["--density", "0.35", "--majority-sign", "frequency"], (page) => page.selectOption(at("method-majoritySign"), "frequency")],
    ["dare_linear", ["--density", "0.35", "--seed", "11", "--flavor", "mergekit"], async (page) => {
      await type(page.locator(at("method-seed")), "11");
      await page.selectOption(at("method-flavor"), "mergekit");
    }],
    ["breadcrumbs", ["--density", "0.35", "--gamma", "0.05", "--normalize", "yes"], async (page) => {
      await type(page.locator(at("method-gamma")), "0,05");
      await page.selectOption(at("method-normalize"), "yes");
    }],
  ])) {
    test(`the files of ${name} are those of the command line`, () =>
      withPage(async (tab) => {
        const { page } = tab;
        await choose(tab, base, [{ path: storyteller, weight: 0.7 }, { path: terse, weight: -1.5 }]);
        await page.selectOption(at("method"), name);
        await type(page.locator(at("method-density")), "0.35");
        await type(page.locator(at("adapter-density")).nth(1), "0.6");
        await fill(page);
        await mergeNow(tab);
        const folders = [{ path: storyteller, weight: 0.7 }, { path: terse, weight: -1.5, density: 0.6 }];
        assert.deepEqual(await downloadAll(tab), await byCommandLine(scratch(), base, folders, ["--method", name, ...flags]));
      }));
  }

  test("what is no number is said, and merges nothing", () =>
    withSample(async (tab) => {
      const { page } = tab;
      await page.selectOption(at("method"), "ties");
      for (const [field, says] of [["method-density", "The share that is kept must be a number"], ["adapter-density", "The share kept of storyteller-lora must be a number"]]) {
        await type(page.locator(at(field)).first(), "half");
        await page.waitForSelector(`${at("plan")} >> text=${says}`);
        assert.equal(await page.locator(at(field)).first().getAttribute("aria-invalid"), "true");
        assert.ok(await page.isDisabled(at("merge")));
        await type(page.locator(at(field)).first(), "0.5");
        await planned(tab);
      }
      // A number that is no share of anything.
      await type(page.locator(at("method-density")), "1.5");
      await page.waitForSelector(`${at("plan-error")} >> text=The method cannot be used like this`);
      await page.locator("#method .slider-range").press("ArrowLeft");
      await planned(tab);
      assert.equal(await page.inputValue(at("method-density")), "0.95");
    }));

  test("what a method made of each change is a picture, read by pointing, by keys and by a finger, and a table", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await choose(tab, base, [{ path: storyteller }, { path: terse, weight: 0.5 }]);
      await mergeNow(tab);
      assert.equal(await page.locator(at("fates")).count(), 0, "the weighted sum drops nothing");
      await page.selectOption(at("method"), "ties");
      await type(page.locator(at("method-density")), "0.25");
      await mergeNow(tab);
      const chart = page.locator(`${at("result")}:not(.stale) ${at("fates")}`);
      await chart.waitFor();
      const rows = chart.locator("[role=rowheader]");
      assert.match(await rows.first().innerText(), /storyteller-lora\s+25 % kept, 2[0-5](\.\d)? % added/);
      const cells = chart.locator("[role=row]").first().locator("[role=gridcell]");
      assert.equal(await cells.count(), 2, "there are two layers");
      const readout = chart.locator(".map-readout");
      await cells.nth(1).hover();
      assert.match(await readout.innerText(), /^storyteller-lora, layer 1: 25 % kept, \d+(\.\d+)? % added, of [\d,]+ values$/);
      await cells.first().focus();
      await page.keyboard.press("ArrowDown");
      assert.match(await readout.innerText(), /^terse-rslora, layer 0: 25 % kept/);
      await cells.nth(1).dispatchEvent("pointerdown", await cells.nth(1).evaluate((cell) => {
        cell.scrollIntoView({ block: "center" });
        const { x, y, width, height } = cell.getBoundingClientRect();
        return { clientX: x + width / 2, clientY: y + height / 2, pointerType: "touch", bubbles: true };
      }));
      assert.match(await readout.innerText(), /^storyteller-lora, layer 1/);
      // The bar is as high as what it says.
      const [bar, added] = await cells.nth(1).evaluate((cell) => [cell, cell.querySelector(".fate-added")].map((one) => one?.getBoundingClientRect().height ?? 0));
      const share = Number(/([\d.]+) % added/.exec((await cells.nth(1).getAttribute("aria-label")) ?? "")?.[1]) / 100;
      assert.ok(Math.abs(added / bar - share) < 0.03, `${added} of ${bar} is not ${share}`);
      await chart.getByText("The same as a table").click();
      await chart.locator("thead").waitFor();
      assert.deepEqual(await chart.locator("thead th").allInnerTexts(), ["Layer", "Adapter", "Values", "Kept", "Added"]);
      assert.equal(await chart.locator("tbody tr").count(), 4);
      await page.click(`${at("result")} summary:has-text("All 20 tensors")`);
      assert.match(await page.locator(`${at("result")} .tensors tbody tr:has-text("q_proj")`).first().innerText(), /storyteller-lora 25 %, .* % added; terse-rslora 25 %/);
      const report = await tab.download(() => page.click(at("report-json")));
      const { tensors } = JSON.parse(report.bytes.toString());
      const deltas = tensors.find((/** @type {{ name: string }} */ { name }) => name.includes("layers.1.self_attn.q_proj")).deltas;
      assert.deepEqual(deltas.map((/** @type {{ adapter: string }} */ { adapter }) => adapter), ["storyteller-lora", "terse-rslora"]);
    }));

  test("weights by module, and what is left out, are those of the command line", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await choose(tab, base, [{ path: storyteller, weight: 0.8 }]);
      await page.locator("summary:text-is('Settings')").click();
      const weights = page.locator(at("adapter-weights"));
      await type(weights, "mlp=0.5\nlayers of mine");
      await weights.blur();
      await page.waitForSelector(`${at("plan")} >> text=“layers of mine” is no weight by module`);
      assert.equal(await weights.getAttribute("aria-invalid"), "true");
      await type(weights, "nothing_of_it=2");
      await weights.blur();
      await page.waitForSelector(`${at("plan-error")} >> text=A pattern matches nothing`);
      assert.match((await page.locator(at("adapter")).getAttribute("class")) ?? "", /blamed/);
      await type(weights, "mlp=0.5\n\nlayers:1-=-2");
      await type(page.locator(at("adapter-skip")), "v_proj");
      await page.locator(at("adapter-skip")).blur();
      await mergeNow(tab);
      const more = ["--weights", "mlp=0.5", "--weights", "layers:1-=-2", "--adapter-skip", "v_proj"];
      assert.deepEqual(await downloadAll(tab), await byCommandLine(scratch(), base, [{ path: storyteller, weight: 0.8, more }]));
    }));

  test("a whole model stands for an adapter, and its difference to the base is merged", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const tuned = await mergedFolder(scratch(), base, [{ path: terse, weight: 3 }], ["--dtype", "float32"]);
      await choose(tab, base, [{ path: storyteller }, { path: tuned, weight: 0.5 }]);
      await planned(tab);
      assert.match(await page.innerText(at("formula")), /0\.5 · \(M − W\)/);
      assert.match((await page.locator(`${at("formula")}`).getAttribute("aria-label")) ?? "", /plus 0\.5 times the difference of merged to the base/);
      assert.equal(await page.locator(at("put-right")).isVisible(), false);
      await page.selectOption(at("method"), "ties");
      await mergeNow(tab);
      const adapters = [{ path: storyteller }, { path: tuned, weight: 0.5 }];
      assert.deepEqual(await downloadAll(tab), await byCommandLine(scratch(), base, adapters, ["--method", "ties", "--density", "0.2"]));
    }));
});
