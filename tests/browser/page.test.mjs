// @ts-check
// Uses the page as a person does, in Chromium and in Firefox; what it lets one download must be what the command line writes.
import assert from "node:assert/strict";
import { cp, mkdtemp, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../setup/tools.mjs";
import { byCommandLine, choose, downloadAll } from "./page-outputs.mjs";
import { describePage } from "./page-suite.mjs";
import { at, mergeNow, planned, stubFolderPicker, type } from "./page-use.mjs";
import { serve } from "./serve.mjs";

/** @typedef {import("./harness.mjs").TestPage} TestPage */
/** @typedef {import("./page-outputs.mjs").Adapter} Adapter */

const fixtures = join(root, "tests", "fixtures");

/** A folder that goes with the tests. @type {() => string} */
let scratch;

/** The sample, with the weights that the page gives it. */
function sampleByCommandLine() {
  const part = (/** @type {string} */ name) => join(fixtures, "sample", name);
  return byCommandLine(scratch(), part("tiny-llama"), [{ path: part("storyteller-lora") }, { path: part("terse-rslora"), weight: -0.5 }]);
}

/** A base of one large tensor, mostly a hole in the file, and an adapter of rank 256 for it: seconds of work, little on disk. */
async function makeLargeModel() {
  const folder = join(scratch(), "large");
  await cp(join(fixtures, "odd-custom", "adapter"), join(folder, "adapter"), { recursive: true });
  const [rows, columns, rank] = [65536, 4096, 256];
  await writeTensors(join(folder, "model.safetensors"), { "big.weight": { dtype: "BF16", shape: [rows, columns] } });
  await writeTensors(join(folder, "adapter", "adapter_model.safetensors"), {
    "base_model.model.big.lora_A.weight": { dtype: "BF16", shape: [rank, columns] },
    "base_model.model.big.lora_B.weight": { dtype: "BF16", shape: [rows, rank] },
  });
  const config = { peft_type: "LORA", r: rank, lora_alpha: rank, target_modules: ["big"] };
  await writeFile(join(folder, "adapter", "adapter_config.json"), JSON.stringify(config));
  return folder;
}

/**
 * @param {string} path
 * @param {Record<string, { dtype: "BF16", shape: number[] }>} tensors
 */
async function writeTensors(path, tensors) {
  let end = 0;
  const header = Object.entries(tensors).map(([name, { dtype, shape }]) => {
    const start = end;
    end += 2 * shape.reduce((product, length) => product * length, 1);
    return [name, { dtype, shape, data_offsets: [start, end] }];
  });
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = await open(path, "w");
  await file.write(Buffer.concat([length, json]));
  await file.truncate(8 + json.length + end);
  await file.close();
}

describePage((suite) => {
  const { name, withPage } = suite;
  scratch = suite.scratch;

  test("the sample is planned at once, and merged with one more click", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.click(at("try-sample"));
      await planned(tab);
      const plan = await page.innerText(at("plan"));
      for (const text of ["14 merged", "6 copied", "14 of 14 modules merged", "4 of 4 modules merged", "scale 2", "8/√4", "BF16", "7 files"]) {
        assert.ok(plan.includes(text), `the plan does not say ${text}: ${plan}`);
      }
      await mergeNow(tab);
      assert.deepEqual(await downloadAll(tab), await sampleByCommandLine());
      assert.match(await page.innerText(at("report")), /Size of the change/);
      const report = await tab.download(() => page.click(at("report-json")));
      assert.equal(JSON.parse(report.bytes.toString()).merged, 14);
    }));

  for (const fixture of ["gpt2", "sharded", "three-adapters", "passthrough"]) {
    test(`files of one's own: ${fixture}`, () =>
      withPage(async (tab) => {
        const folder = join(fixtures, fixture);
        const { adapters } = JSON.parse(await readFile(join(folder, "case.json"), "utf8"));
        /** @type {Adapter[]} */
        const chosen = adapters.map((/** @type {Adapter} */ { path, weight }) => ({ path: join(folder, path), weight }));
        await choose(tab, join(folder, "base"), chosen);
        await mergeNow(tab);
        assert.deepEqual(await downloadAll(tab), await byCommandLine(scratch(), join(folder, "base"), chosen));
      }));
  }

  test("loose files, a weight beyond the slider, and options", () =>
    withPage(async (tab) => {
      const { page, setFiles } = tab;
      const folder = join(fixtures, "linear-r8");
      const file = join(folder, "base", "model.safetensors");
      await setFiles(at("base-files"), [file]);
      await setFiles(at("adapter-files"), ["adapter_config.json", "adapter_model.safetensors"].map((name) => join(folder, "adapter", name)));
      await type(page.locator(at("adapter-weight")), "2.75");
      await page.getByText("Options").click();
      await page.selectOption("[name=dtype]", "float32");
      await page.fill("[name=skip]", "layers\\.0\\.");
      await planned(tab);
      await page.waitForSelector("text=BF16 → F32");
      await mergeNow(tab);
      const merged = await byCommandLine(scratch(), file, [{ path: join(folder, "adapter"), weight: 2.75 }], ["--dtype", "f32", "--skip", "layers\\.0\\."]);
      assert.deepEqual(await downloadAll(tab), merged);
    }));

  test("files dropped on their sections", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.evaluate(async () => {
        /** @type {(zone: string, folder: string, names: string[]) => Promise<void>} */
        const drop = async (zone, folder, names) => {
          const dataTransfer = new DataTransfer();
          for (const name of names) dataTransfer.items.add(new File([await (await fetch(`sample/${folder}/${name}`)).blob()], name));
          const target = document.querySelector(`[data-zone=${zone}] h2`);
          for (const type of ["dragover", "drop"]) target?.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
        };
        const { base, adapters } = await (await fetch("sample/manifest.json")).json();
        await drop("base", base.name, base.files);
        await drop("adapters", adapters[1].name, adapters[1].files);
      });
      await page.waitForSelector("text=4 of 4 modules merged");
      await mergeNow(tab);
      const [base, path] = ["tiny-llama", "terse-rslora"].map((part) => join(fixtures, "sample", part));
      assert.deepEqual(await downloadAll(tab), await byCommandLine(scratch(), base, [{ path }]));
    }));

  // Only Chromium's driver can drop what is on disk.
  if (name === "chromium") test("folders dropped beside the sections", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const folder = join(fixtures, "two-adapters");
      const files = ["base", "adapter-a", "adapter-b"].map((part) => join(folder, part));
      const session = await page.context().newCDPSession(page);
      // Beside every section: what looks like an adapter becomes one.
      for (const type of /** @type {const} */ (["dragEnter", "dragOver", "drop"])) {
        await session.send("Input.dispatchDragEvent", { type, x: 5, y: 300, data: { items: [], files, dragOperationsMask: 1 } });
      }
      await page.locator(at("adapter")).nth(1).waitFor();
      assert.deepEqual(await page.locator(at("adapter-name")).evaluateAll((all) => all.map((field) => /** @type {HTMLInputElement} */ (field).value)), ["adapter-a", "adapter-b"]);
      await mergeNow(tab);
      assert.deepEqual(await downloadAll(tab), await byCommandLine(scratch(), files[0], files.slice(1).map((path) => ({ path }))));
    }));

  test("an address", () =>
    withPage(async (tab) => {
      const hub = await serve(fixtures, { cors: "bare" });
      try {
        const { page } = tab;
        await page.fill(at("base-url"), `${hub.origin}/tied/base`);
        await page.press(at("base-url"), "Enter");
        await page.fill(at("adapter-url"), `${hub.origin}/tied/adapter/`);
        await page.click(at("adapter-add-url"));
        await mergeNow(tab);
        const merged = await byCommandLine(scratch(), join(fixtures, "tied", "base"), [{ path: join(fixtures, "tied", "adapter") }]);
        assert.deepEqual(await downloadAll(tab), merged);
      } finally {
        await hub.close();
      }
    }, { misses: true }));

  test("by way of the browser's storage", () =>
    withPage(async (tab) => {
      await tab.page.check(at("output-opfs"));
      await mergeNow(tab);
      assert.deepEqual(await downloadAll(tab), await sampleByCommandLine());
    }, { query: "?sample" }));

  test("into a folder", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.check(at("output-folder"));
      // The plan is made, and the place is missing.
      await page.waitForSelector("#merge-hint >> text=Choose the folder to write to.");
      assert.ok(await page.isDisabled(at("merge")));
      await page.evaluate(async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
        for (const name of ["model-00003-of-00003.safetensors", "notes.txt"]) await folder.getFileHandle(name, { create: true });
      });
      await page.click(at("output-choose-folder"));
      // Another model's weights would become part of this one.
      await page.click(at("merge"));
      await page.waitForSelector(`${at("merge-error")} >> text=model-00003-of-00003.safetensors`);
      await page.check(at("output-force"));
      await mergeNow(tab);
      await page.uncheck(at("output-force"));
      assert.equal(await page.locator(`${at("result-file")} a`).count(), 0);
      const written = page.evaluate(async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("picked");
        const names = [];
        for await (const name of folder.keys()) names.push(name);
        return names.sort();
      });
      const names = (await written).filter((name) => name !== "notes.txt");
      assert.equal((await written).length, 8);
      assert.deepEqual(names, Object.keys(await sampleByCommandLine()).sort());
      // Again, into what is a model now: refused, unless replacing it is allowed.
      await page.click(at("merge"));
      await page.waitForSelector(`${at("merge-error")} >> text=bad-option`);
      await page.check(at("output-force"));
      await mergeNow(tab);
    }, {
      query: "?sample",
      prepare: stubFolderPicker,
    }));

  test("cancelling stops the workers at once, and the page is ready again", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const large = await makeLargeModel();
      await tab.setFiles(at("base-files"), [join(large, "model.safetensors")]);
      await tab.setFolder(at("adapter-folder"), join(large, "adapter"));
      await planned(tab);
      await page.click(at("merge"));
      // The header is written before the workers have begun.
      await page.waitForFunction(() => (document.querySelector("progress")?.position ?? 0) > 0.01);
      assert.ok(page.workers().length > 0, "no worker is at work");
      assert.ok(await page.isDisabled(at("adapter-weight")));
      const gone = Promise.all(page.workers().map((worker) => worker.waitForEvent("close")));
      await page.click(at("cancel"));
      await page.waitForSelector("text=Cancelled. Nothing was kept.");
      await gone;
      assert.deepEqual(page.workers(), []);
      const reached = await page.evaluate(() => document.querySelector("progress")?.position ?? 1);
      assert.ok(reached < 1, "it went on to its end");
      assert.ok(await page.isHidden(at("result")));
      assert.ok(await page.isHidden(at("progress")));
      await page.click(at("try-sample"));
      await page.waitForSelector("text=14 of 14 modules merged");
      await mergeNow(tab);
    }));

  test("errors say what, where and what to do, and go away with their cause", () =>
    withPage(async (tab) => {
      const { page, setFolder } = tab;
      const error = async (/** @type {string} */ code) => {
        await page.waitForSelector(`${at("plan-error")} >> text=${code}`);
        assert.ok(await page.isDisabled(at("merge")));
        return page.innerText(at("plan-error"));
      };
      const right = join(fixtures, "linear-r8");
      // An adapter as base, then the base of another family, then the right one.
      await choose(tab, join(right, "adapter"), [{ path: join(right, "adapter") }]);
      assert.match(await error("wrong-input"), /this is an adapter, not a base/);
      await page.getByRole("button", { name: "Choose another base" }).click();
      await setFolder(at("base-folder"), join(fixtures, "gpt2", "base"));
      assert.match(await error("unmatched-key"), /Adapter\s+adapter\s+Tensor\s+base_model\.model\..*lora_A/s);
      await page.getByRole("button", { name: "Choose another base" }).click();
      await setFolder(at("base-folder"), join(right, "base"));
      await planned(tab);
      assert.equal(await page.innerText(at("plan-error")), "");
      // A configuration that is no JSON.
      const broken = join(await mkdtemp(join(scratch(), "broken-")), "broken");
      await cp(join(right, "adapter"), broken, { recursive: true });
      await writeFile(join(broken, "adapter_config.json"), "{ r: 8 }");
      await setFolder(at("adapter-folder"), broken);
      assert.match(await error("bad-config"), /adapter_config\.json/);
      await page.getByRole("button", { name: "Remove broken" }).click();
      await planned(tab);
      // A factor that is no number: nothing in the options would allow it.
      const bytes = await readFile(join(right, "adapter", "adapter_model.safetensors"));
      bytes.fill(0xff, bytes.length - 8);
      await cp(join(right, "adapter", "adapter_config.json"), join(broken, "adapter_config.json"));
      await writeFile(join(broken, "adapter_model.safetensors"), bytes);
      await setFolder(at("adapter-folder"), broken);
      await planned(tab);
      await page.click(at("merge"));
      await page.waitForSelector(`${at("merge-error")} >> text=non-finite`);
      assert.match(await page.innerText(at("merge-error")), /Adapter\s+broken/);
      assert.equal(await page.locator(`${at("merge-error")} button`).count(), 0);
      await page.getByRole("button", { name: "Remove broken" }).click();
      await planned(tab);
      // A weight that is no number.
      await type(page.locator(at("adapter-weight")), "");
      assert.ok(await page.isDisabled(at("merge")));
      await type(page.locator(at("adapter-weight")), "1e-3");
      await planned(tab);
    }));

  test("everything by keyboard", () =>
    withPage(async (tab) => {
      const { page } = tab;
      /** @param {string} id */
      const tabTo = async (id) => {
        for (let presses = 0; presses < 60; presses++) {
          await page.keyboard.press("Tab");
          if (await page.evaluate((id) => document.activeElement?.getAttribute("data-testid") === id, id)) return;
        }
        assert.fail(`Tab does not reach ${id}`);
      };
      await tabTo("base-url");
      await page.keyboard.type(new URL("nothing/", page.url()).href);
      await page.keyboard.press("Enter");
      assert.match(await page.evaluate(() => document.activeElement?.ariaLabel ?? ""), /^Choose another base/);
      await page.keyboard.press("Enter");
      assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("data-testid")), "base-folder");
      await page.focus(at("try-sample"));
      await page.keyboard.press("Enter");
      await planned(tab);
      await tabTo("adapter-weight");
      await page.keyboard.press("ArrowUp");
      assert.equal(await page.inputValue(`${at("adapter-weight")} >> nth=0`), "1.05");
      await tabTo("merge");
      await page.keyboard.press("Space");
      await page.waitForSelector(at("result"));
      assert.equal(await page.evaluate(() => document.activeElement?.id), "result-heading");
    }, { misses: true }));
});
