// @ts-check
// What the page offers to do about what it is given: one click instead of a word of advice.
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../setup/tools.mjs";
import { describePage } from "./page-suite.mjs";
import { at, mergeNow, planned } from "./page-use.mjs";

const sample = join(root, "tests", "fixtures", "sample");
const base = join(sample, "tiny-llama");
const adapter = join(sample, "storyteller-lora");

describePage(({ scratch, withPage, withSample }) => {
  test("one input alone is described at once, and told where it belongs", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await tab.setFolder(at("base-folder"), adapter);
      await page.waitForSelector(`${at("base-chosen")} ${at("about")} >> text=LoRA · rank 8 · alpha 16 · 14 modules`);
      await page.click(at("put-right"));
      await page.waitForSelector(`${at("adapter")} ${at("about")} >> text=LoRA · rank 8`);
      assert.equal(await page.locator(at("base-chosen")).count(), 0);
      await tab.setFolder(at("adapter-folder"), base);
      await page.waitForSelector(`${at("adapter")} >> nth=1 >> text=94.5 thousand parameters · BF16 · llama`);
      await page.click(`${at("adapter")} >> nth=1 >> ${at("put-right")}`);
      await planned(tab);
      assert.equal(await page.locator(at("adapter")).count(), 1);
      // What cannot be read is said before the other is there.
      const broken = await mkdtemp(join(scratch(), "broken-"));
      await writeFile(join(broken, "model.safetensors"), "<!DOCTYPE html>");
      await tab.setFolder(at("adapter-folder"), broken);
      await page.waitForSelector(`${at("adapter")} ${at("about")} >> text=This is a web page, not a model’s file.`);
    }));

  test("inputs in each other's place are swapped with one click", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await tab.setFolder(at("base-folder"), adapter);
      await tab.setFolder(at("adapter-folder"), base);
      await page.waitForSelector(`${at("plan-error")} >> text=This is an adapter, not a base`);
      await page.click(`${at("plan-error")} button:text-is("Put it where it belongs")`);
      await planned(tab);
      assert.match(await page.innerText(at("base-chosen")), /^tiny-llama/);
      assert.equal(await page.inputValue(at("adapter-name")), "storyteller-lora");
    }));

  test("what an option would allow is allowed with one click, and said in the page's words", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const folder = join(await mkdtemp(join(scratch(), "beside-")), "ad");
      await cp(adapter, folder, { recursive: true });
      await writeFile(join(folder, "non_lora_trainables.bin"), "weights");
      await tab.setFolder(at("base-folder"), base);
      await tab.setFolder(at("adapter-folder"), folder);
      await page.waitForSelector(`${at("plan-error")} >> text=Trained weights beside the adapter would be lost`);
      assert.doesNotMatch(await page.innerText(at("plan-error")), /--allow|allowUnmerged/);
      await page.click(`${at("plan-error")} button:text-is("Leave it out")`);
      await planned(tab);
      assert.ok(await page.isChecked("[name=allowUnmerged]"));
      assert.match(await page.innerText(at("findings")), /non_lora_trainables\.bin/);
    }));

  test("the adapter's own tokenizer is told, and taken where that is chosen", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const folder = join(await mkdtemp(join(scratch(), "tokenizer-")), "ad");
      await cp(adapter, folder, { recursive: true });
      await writeFile(join(folder, "tokenizer_config.json"), JSON.stringify({ chat_template: "{{ own }}" }));
      await tab.setFolder(at("base-folder"), base);
      await tab.setFolder(at("adapter-folder"), folder);
      await page.waitForSelector(`${at("findings")} >> text=/the adapter's differ: tokenizer_config.json.*“Tokenizer” under Options takes those/`);
      await page.click("summary:has-text('Options')");
      await page.selectOption("[name=tokenizer]", "adapter");
      await page.waitForSelector(`${at("findings")} >> text=taken from the adapter, in place of the base's: tokenizer_config.json`);
    }));

  test("a change that rounding loses is kept by merging again in float32", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const folder = await mkdtemp(join(scratch(), "lost-"));
      await mkdir(join(folder, "ad"));
      const half = (/** @type {number} */ bits) => Buffer.from(Uint16Array.from(Array(4).fill(bits)).buffer);
      const file = (/** @type {Record<string, { shape: number[], bits: number }>} */ tensors) => {
        let end = 0;
        const header = Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, { dtype: "BF16", shape, data_offsets: [end, (end += 8)] }]));
        const json = Buffer.from(JSON.stringify(header));
        const length = Buffer.alloc(8);
        length.writeBigUInt64LE(BigInt(json.length));
        return Buffer.concat([length, json, ...Object.values(tensors).map(({ bits }) => half(bits))]);
      };
      // A thousandth of one, to which bfloat16 adds nothing.
      await writeFile(join(folder, "model.safetensors"), file({ "q.weight": { shape: [2, 2], bits: 0x3f80 } }));
      await writeFile(join(folder, "ad", "adapter_model.safetensors"), file({
        "base_model.model.q.lora_A.weight": { shape: [2, 2], bits: 0x3a03 }, "base_model.model.q.lora_B.weight": { shape: [2, 2], bits: 0x3f80 },
      }));
      await writeFile(join(folder, "ad", "adapter_config.json"), JSON.stringify({ peft_type: "LORA", r: 2, lora_alpha: 2, target_modules: ["q"] }));
      await tab.setFiles(at("base-files"), [join(folder, "model.safetensors")]);
      await tab.setFolder(at("adapter-folder"), join(folder, "ad"));
      await mergeNow(tab);
      await page.click("summary:has-text('Options')");
      await page.waitForSelector(`${at("signal-lost")} >> text=/partly lost to BF16/`);
      await page.click(at("merge-float32"));
      await page.waitForSelector(`${at("result")}:not(.stale) >> text=Signal kept`);
      await page.waitForFunction(() => !document.querySelector("[data-testid=signal-lost]") && !document.querySelector(".result[hidden]"));
      assert.equal(await page.inputValue("[name=dtype]"), "float32");
      // Without statistics a sample tells.
      await page.selectOption("[name=dtype]", "keep");
      await page.uncheck("[name=statistics]");
      await mergeNow(tab);
      await page.waitForSelector(`${at("result")}:not(.stale) ${at("signal-lost")}`);
      assert.match(await page.innerText(at("report")), /Signal kept\s+0 %/);
      assert.equal(await page.locator(`${at("report")} .finding-warning`).count(), 1, "it is said twice");
      await page.click(at("merge-stochastic"));
      await page.waitForFunction(() => !document.querySelector("[data-testid=merge-stochastic]") && !document.querySelector(".result[hidden]"));
      assert.equal(await page.inputValue("[name=rounding]"), "stochastic");
      await page.fill("[name=seed]", "1.5");
      await page.waitForSelector("[name=seed][aria-invalid=true]");
      await page.waitForSelector(`${at("plan")} >> text=The seed must be a whole number`);
    }));

  test("a problem is reported without the names of files", () =>
    withSample(async (tab) => {
      const { page } = tab;
      await page.click("summary:has-text('Options')");
      await page.fill("[name=skip]", "(");
      await page.waitForSelector(`${at("plan-error")} >> text=bad-option`);
      // Nobody follows it here: only where it leads is looked at.
      const address = await page.evaluate(() => {
        const link = /** @type {HTMLAnchorElement} */ (document.querySelector("#link-problem"));
        link.addEventListener("click", (event) => event.preventDefault());
        link.click();
        return link.href;
      });
      const url = new URL(address);
      assert.match(url.pathname, /\/issues\/new$/);
      assert.match(url.searchParams.get("body") ?? "", /lorafold \d+\.\d+\.\d+, the page\nerror: bad-option/);
      assert.doesNotMatch(address, /tiny-llama|storyteller/);
    }));
});
