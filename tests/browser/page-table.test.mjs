// @ts-check
// What a plan and a result show of many tensors: a table that is sorted, searched and scrolled, and maps whose values can be read in every way.
import assert from "node:assert/strict";
import { mkdtemp, readFile, writeFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { crc32, inflateRawSync } from "node:zlib";
import { root } from "../setup/tools.mjs";
import { describePage } from "./page-suite.mjs";
import { at, mergeNow, planned } from "./page-use.mjs";

/** @typedef {import("./harness.mjs").TestPage} TestPage */

const LAYERS = 450;

/** A base of many small tensors in float16, and an adapter for its projections. @param {string} scratch */
async function manyLayers(scratch) {
  const folder = await mkdtemp(join(scratch, "layers-"));
  /** @type {Record<string, { shape: number[], value: number }>} */
  const base = {};
  /** @type {Record<string, { shape: number[], value: number }>} */
  const adapter = {};
  for (let layer = 0; layer < LAYERS; layer++) {
    base[`model.layers.${layer}.q_proj.weight`] = { shape: [4, 4], value: 0x3c00 };
    base[`model.layers.${layer}.norm.weight`] = { shape: [4], value: 0x3c00 };
    adapter[`base_model.model.model.layers.${layer}.q_proj.lora_A.weight`] = { shape: [1, 4], value: 0x3800 };
    // In layer 7 it is too little for float16.
    adapter[`base_model.model.model.layers.${layer}.q_proj.lora_B.weight`] = { shape: [4, 1], value: layer === 7 ? 0x0010 : 0x2c00 + layer };
  }
  await mkdir(join(folder, "ad"));
  await writeFile(join(folder, "model.safetensors"), float16File(base));
  await writeFile(join(folder, "ad", "adapter_model.safetensors"), float16File(adapter));
  await writeFile(join(folder, "ad", "adapter_config.json"), JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1, target_modules: ["q_proj"] }));
  return folder;
}

/** @param {Record<string, { shape: number[], value: number }>} tensors the bits of float16, in all places */
function float16File(tensors) {
  let end = 0;
  const sizes = Object.values(tensors).map(({ shape }) => shape.reduce((a, b) => a * b));
  const header = Object.fromEntries(Object.entries(tensors).map(([name, { shape }], number) => [name, { dtype: "F16", shape, data_offsets: [end, (end += 2 * sizes[number])] }]));
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.from(Uint16Array.from(Object.values(tensors).flatMap(({ value }, number) => Array(sizes[number]).fill(value))).buffer)]);
}

/** The files of a zip archive, by its central directory, each checked against its sum. @param {Buffer} zip */
function unzipped(zip) {
  const end = zip.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  /** @type {Record<string, Buffer>} */
  const files = {};
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const [method, crc, packed] = [zip.readUInt16LE(at + 10), zip.readUInt32LE(at + 16), zip.readUInt32LE(at + 20)];
    const [named, extra, comment] = [28, 30, 32].map((field) => zip.readUInt16LE(at + field));
    const name = zip.toString("utf8", at + 46, at + 46 + named);
    const local = zip.readUInt32LE(at + 42);
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const bytes = zip.subarray(start, start + packed);
    files[name] = method === 0 ? bytes : inflateRawSync(bytes);
    assert.equal(crc32(files[name]), crc, name);
    at += 46 + named + extra + comment;
  }
  return files;
}

describePage(({ scratch, withPage, withSample }) => {
  /** The merge of a model of many layers. @param {(tab: TestPage) => Promise<void>} use */
  const withLayers = (use) =>
    withPage(async (tab) => {
      const folder = await manyLayers(scratch());
      await tab.setFiles(at("base-files"), [join(folder, "model.safetensors")]);
      await tab.setFolder(at("adapter-folder"), join(folder, "ad"));
      await mergeNow(tab);
      await use(tab);
    });

  test("a result is downloaded in one piece, as an archive with the model's name", () =>
    withSample(async (tab) => {
      const { page } = tab;
      await mergeNow(tab);
      const { name, bytes } = await tab.download(() => page.click(at("download-zip")));
      assert.match(name, /^tiny-llama-storyteller-lora-terse-rslora.*\.zip$/);
      const files = unzipped(bytes);
      const rows = await page.locator(at("result-file")).evaluateAll((all) => all.map((row) => row.getAttribute("data-name")));
      assert.deepEqual(Object.keys(files), rows.map((row) => `tiny-llama-storyteller-lora-terse-rslora/${row}`));
      const config = await readFile(join(root, "tests", "fixtures", "sample", "tiny-llama", "config.json"));
      assert.deepEqual(files["tiny-llama-storyteller-lora-terse-rslora/config.json"], config);
      for (const row of rows) {
        const { bytes: alone } = await tab.download(() => page.getByRole("link", { name: `Download ${row}` }).click());
        assert.ok(alone.equals(files[`tiny-llama-storyteller-lora-terse-rslora/${row}`]), `${row} is another in the archive`);
      }
    }));

  test("tensors are sorted by a click, searched, and scrolled through, however many", () =>
    withLayers(async ({ page }) => {
      const result = page.locator(at("result"));
      await result.getByText(`All ${LAYERS * 2} tensors`).click();
      const names = () => result.locator("tbody tr:not(.space) th").evaluateAll((all) => all.map((cell) => cell.textContent));
      assert.ok((await names()).length < 100, "there are more rows than can be seen");
      assert.equal(await result.locator("table").getAttribute("aria-rowcount"), String(LAYERS * 2 + 1));
      const sortBy = (/** @type {string} */ heading) => result.locator("thead").getByRole("button", { name: heading }).click();
      await sortBy("Tensor");
      assert.equal((await names())[3], "model.layers.1.q_proj.weight");
      await sortBy("Tensor");
      assert.equal((await names())[0], `model.layers.${LAYERS - 1}.q_proj.weight`);
      assert.equal(await result.locator("thead th").first().getAttribute("aria-sort"), "descending");
      await sortBy("Changed by");
      assert.equal((await names())[0], `model.layers.${LAYERS - 1}.q_proj.weight`);
      // To the very end, which is there then.
      await result.locator(".scroll").evaluate((room) => room.scrollTo(0, room.scrollHeight));
      await result.locator(`tr[aria-rowindex="${LAYERS * 2 + 1}"]`).waitFor();
      const [room, last] = await Promise.all([result.locator(".scroll").boundingBox(), result.locator(`tr[aria-rowindex="${LAYERS * 2 + 1}"]`).boundingBox()]);
      assert.ok(room && last && last.y + last.height <= room.y + room.height + 1, "the last row is below the end");
      await result.locator(at("tensor-filter")).fill("layers.44");
      assert.equal((await names()).length, 22);
      assert.equal(await result.locator("table").getAttribute("aria-rowcount"), null);
    }));

  test("a map's values are read by pointing, by keys, and by a finger; what rounding lost has a map of its own", () =>
    withLayers(async ({ page }) => {
      const maps = page.locator(`${at("result")} ${at("layer-map")}`);
      assert.deepEqual(await maps.locator(".map-title").allInnerTexts(), ["How much each tensor changed", "What rounding kept of the change"]);
      assert.match(await maps.first().locator(".map-scale").innerText(), /0 %\s*4\.5 %/);
      const readout = (/** @type {number} */ map) => maps.nth(map).locator(".map-readout").innerText();
      await maps.first().locator("[role=gridcell]").nth(3).hover();
      assert.match(await readout(0), /^model\.layers\.3\.q_proj\.weight: changed by \d/);
      await maps.first().locator("[role=gridcell][tabindex='0']").focus();
      await page.keyboard.press("ArrowRight");
      assert.match(await readout(0), /^model\.layers\.1\.q_proj/);
      await page.keyboard.press("End");
      assert.match(await readout(0), new RegExp(`^model\\.layers\\.${LAYERS - 1}\\.`));
      assert.match(await maps.nth(1).locator("[role=gridcell]").nth(7).getAttribute("aria-label") ?? "", /^model\.layers\.7\.q_proj\.weight: 0 % kept/);
      await maps.nth(1).locator("[role=gridcell]").nth(9).dispatchEvent("pointerdown", await maps.nth(1).locator("[role=gridcell]").nth(9).evaluate((cell) => {
        cell.scrollIntoView({ block: "center" });
        const { x, y, width, height } = cell.getBoundingClientRect();
        return { clientX: x + width / 2, clientY: y + height / 2, pointerType: "touch", bubbles: true };
      }));
      assert.match(await readout(1), /^model\.layers\.9\.q_proj\.weight: .* kept/);
    }));
});
