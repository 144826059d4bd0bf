// @ts-check
// From the click on Merge to the files on the user's disk: nothing is lost on the way, and nothing wrong is handed out without a word.
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../setup/tools.mjs";
import { describePage } from "./page-suite.mjs";
import { at, mergeNow, planned, stubFolderPicker, type } from "./page-use.mjs";

const sample = join(root, "tests", "fixtures", "sample");

describePage(({ scratch, withPage, withSample }) => {
  test("the click on Merge that leaves a field counts", () =>
    withSample(async (tab) => {
      const { page } = tab;
      const result = page.locator(`${at("result")}:not(.stale)`);
      // A name is taken when the field is left: by the very click.
      await type(page.locator(at("adapter-name")).first(), "teller");
      await page.click(at("merge"));
      await result.waitFor();
      assert.equal(await page.innerText("#result-heading"), "Merged");
      // Keys count too, and fields that plan while one types.
      await page.getByText("Options").click();
      await page.fill("[name=skip]", "layers\\.0\\.");
      await page.press(at("merge"), "Enter");
      assert.equal(await page.innerText("#merge-hint"), "The merge begins when the plan is made.");
      await result.waitFor();
      assert.match(await page.innerText(at("plan")), /7 merged/);
      // All in one task, so that no plan is made between the text and the click, or the click and the text `then`.
      const skipAndMerge = (/** @type {string} */ text, then = text) =>
        page.evaluate(([text, then]) => {
          const skip = /** @type {HTMLInputElement} */ (document.querySelector("[name=skip]"));
          const merge = /** @type {HTMLButtonElement} */ (document.querySelector("[data-testid=merge]"));
          const fill = (/** @type {string} */ value) => {
            skip.value = value;
            skip.dispatchEvent(new Event("input", { bubbles: true }));
          };
          fill(text);
          merge.focus();
          merge.click();
          if (then !== text) fill(then);
        }, /** @type {const} */ ([text, then]));
      // A plan that fails is not merged, nor is one that is changed once more.
      await skipAndMerge("(");
      await page.waitForSelector(`${at("plan-error")} >> text=bad-option`);
      assert.equal(await page.evaluate(() => document.activeElement?.id), "plan-heading");
      await skipAndMerge("q_proj", "k_proj");
      await planned(tab);
      assert.equal(await page.innerText("#result-heading"), "Merged, before your latest change");
    }));

  test("a plan that arrives while a button is pressed does not move it away", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.check(at("output-folder"));
      const choose = page.locator(at("output-choose-folder"));
      await choose.hover();
      await page.mouse.down();
      const before = await choose.boundingBox();
      const arrived = page.waitForEvent("worker").then((worker) => worker.waitForEvent("close"));
      await page.evaluate(() => /** @type {HTMLElement} */ (document.querySelector("[data-testid=try-sample]")).click());
      // The worker that plans ends with its plan.
      await arrived;
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))));
      assert.deepEqual(await choose.boundingBox(), before);
      await page.mouse.up();
      await planned(tab);
      await page.waitForSelector("#output-folder >> text=picked");
    }, { prepare: stubFolderPicker }));

  test("while a result is saved to a folder, the next merge waits", () =>
    withSample(async (tab) => {
      const { page } = tab;
      await page.check(at("output-opfs"));
      await mergeNow(tab);
      await page.evaluate(() => {
        const { prototype } = FileSystemFileHandle;
        const { createWritable } = prototype;
        const gate = new Promise((resolve) => Object.assign(window, { openGate: resolve }));
        prototype.createWritable = async function (...given) {
          await gate;
          return createWritable.apply(this, given);
        };
      });
      await page.click(at("save-folder"));
      await page.waitForSelector("#merge-hint >> text=being saved to a folder");
      assert.ok(await page.isDisabled(at("merge")));
      await page.evaluate(() => Reflect.get(window, "openGate")());
      await page.waitForSelector(`${at("result")} >> text=Saved.`);
      await planned(tab);
      assert.equal(await page.innerText("#merge-hint"), "");
    }, { prepare: stubFolderPicker }));

  test("a base that changes before the download is noticed", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const base = join(await mkdtemp(join(scratch(), "base-")), "tiny-llama");
      await cp(join(sample, "tiny-llama"), base, { recursive: true });
      const shard = join(base, "model-00002-of-00002.safetensors");
      const bytes = await readFile(shard);
      const changes = [
        () => writeFile(shard, Buffer.from(bytes).fill(1, bytes.length - 64)),
        () => rm(shard),
      ];
      for (const change of changes) {
        await writeFile(shard, bytes);
        await page.reload();
        await tab.setFolder(at("base-folder"), base);
        await tab.setFolder(at("adapter-folder"), join(sample, "storyteller-lora"));
        await mergeNow(tab);
        assert.match(await page.innerText(at("result")), /Leave the base’s files as they are until everything is downloaded/);
        await tab.download(() => page.getByRole("link", { name: "Download config.json" }).click());
        assert.equal(await page.innerText(at("base-changed")), "");
        await change();
        await page.click(at("save-folder"));
        await page.waitForSelector(`${at("result")} >> text=Not saved: model-00002-of-00002.safetensors of the base is no longer the file that was merged`);
        await page.getByRole("link", { name: "Download config.json" }).click();
        await page.waitForSelector(`${at("base-changed")} >> text=model-00002-of-00002.safetensors`);
      }
    }, { prepare: stubFolderPicker }));

  test("figures that are not known are not made up", () =>
    withPage(async (tab) => {
      const { page } = tab;
      // Twice the largest float16 is added to nothing.
      const full = (/** @type {number[]} */ shape, value = 0x7bff) => ({ shape, values: Array(shape.reduce((a, b) => a * b)).fill(value) });
      const folder = await mkdtemp(join(scratch(), "overflow-"));
      await mkdir(join(folder, "ad"));
      await writeFile(join(folder, "model.safetensors"), float16File({ "big.weight": full([4, 4], 0), "other.weight": full([4]) }));
      await writeFile(join(folder, "ad", "adapter_model.safetensors"), float16File({
        "base_model.model.big.lora_A.weight": full([1, 4]), "base_model.model.big.lora_B.weight": full([4, 1], 0x4000),
      }));
      await writeFile(join(folder, "ad", "adapter_config.json"), JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1, target_modules: ["big"] }));
      await tab.setFiles(at("base-files"), [join(folder, "model.safetensors")]);
      await tab.setFolder(at("adapter-folder"), join(folder, "ad"));
      await planned(tab);
      assert.match(await page.innerText(at("plan")), /1 copied as it is/);
      await page.click(at("merge"));
      await page.getByRole("button", { name: "Allow such values" }).click();
      await mergeNow(tab);
      const report = await page.innerText(at("report"));
      assert.match(report, /Size of the change\s+not known/);
      assert.match(report, /Signal kept\s+not known/);
      assert.match((await page.locator(`${at("report")} [role=gridcell]`).first().getAttribute("aria-label")) ?? "", /change not known/);
      assert.doesNotMatch(report, /\b0 %/);
      await page.click(`${at("result")} summary:has-text("All 2 tensors")`);
      await page.locator(`${at("result")} td:text-is("not known")`).nth(1).waitFor();
    }));
});

/** @param {Record<string, { shape: number[], values: number[] }>} tensors values as the bits of float16 */
function float16File(tensors) {
  let end = 0;
  const header = Object.fromEntries(Object.entries(tensors).map(([name, { shape, values }]) => [name, { dtype: "F16", shape, data_offsets: [end, (end += 2 * values.length)] }]));
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.from(Uint16Array.from(Object.values(tensors).flatMap(({ values }) => values)).buffer)]);
}
