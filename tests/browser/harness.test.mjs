// @ts-check
// What the browser tests rely on, shown in both browsers on a page of our own.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { browserNames, launch } from "./harness.mjs";
import { serve } from "./serve.mjs";

const html = `<!doctype html><meta charset="utf-8"><title>waiting</title>
<link rel="icon" href="data:,">
<button onclick="document.title = 'clicked'">press</button>
<input id="text"><input id="files" type="file" multiple><input id="folder" type="file" webkitdirectory>
<a id="blob" download="made-here.bin">save a blob</a> <a id="file" href="served.bin" download="served.bin">save a file</a>
<script type="module">
  document.querySelector("#folder").addEventListener("change", (event) => { window.picked = event.target.files.length; });
  // Large enough to be still on its way when the harness first looks.
  const bytes = new Uint8Array(30_000_000).map((_, i) => i % 251);
  document.querySelector("#blob").href = URL.createObjectURL(new Blob([bytes]));
  const worker = new Worker("worker.mjs", { type: "module" });
  worker.onmessage = (event) => { window.answer = event.data; };
  window.complain = () => { console.error("a complaint"); setTimeout(() => { throw new Error("thrown late"); }); };
  window.ready = true;
</script>`;

// (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
const wasm = Buffer.from(
  "0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b", "hex");

const worker = `const { instance } = await WebAssembly.instantiateStreaming(fetch("add.wasm"));
postMessage(instance.exports.add(40, 2));`;

/** @type {string} */
let site;
/** @type {string} */
let picked;
/** @type {import("./serve.mjs").TestServer} */
let server;

before(async () => {
  const folder = await mkdtemp(join(tmpdir(), "lorafold-harness-"));
  site = join(folder, "site");
  picked = join(folder, "my model");
  await mkdir(site);
  await mkdir(join(picked, "deep"), { recursive: true });
  await writeFile(join(site, "index.html"), html);
  await writeFile(join(site, "worker.mjs"), worker);
  await writeFile(join(site, "add.wasm"), wasm);
  await writeFile(join(site, "served.bin"), Buffer.from([1, 2, 3, 255]));
  await writeFile(join(picked, "a.txt"), "first");
  await writeFile(join(picked, "deep", "b.txt"), "second");
  server = await serve(site);
});

after(async () => {
  await server?.close();
  await rm(join(site, ".."), { recursive: true, force: true });
});

for (const name of browserNames) {
  describe(name, () => {
    /** @type {import("./harness.mjs").TestBrowser} */
    let browser;
    /** @type {import("./harness.mjs").TestPage} */
    let opened;

    before(async () => {
      browser = await launch(name);
      opened = await browser.open();
      await opened.page.goto(server.origin);
      await opened.page.waitForFunction(() => Reflect.get(window, "ready"));
    });
    after(() => browser?.close());

    test("evaluates, clicks and types", async () => {
      const { page } = opened;
      assert.equal(await page.evaluate((n) => n + 1, 41), 42);
      await page.getByRole("button", { name: "press" }).click();
      assert.equal(await page.title(), "clicked");
      await page.focus("#text");
      await page.keyboard.type("held");
      await page.keyboard.press("Backspace");
      assert.equal(await page.inputValue("#text"), "hel");
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement?.id), "files");
    });

    test("picks files", async () => {
      await opened.setFiles("#files", [join(picked, "a.txt"), join(picked, "deep", "b.txt")]);
      assert.deepEqual(await readChosen("#files", "name"), ["a.txt: first", "b.txt: second"]);
    });

    test("picks a folder", async () => {
      await opened.setFolder("#folder", picked);
      const chosen = await readChosen("#folder", "webkitRelativePath");
      assert.deepEqual(chosen.sort(), ["my model/a.txt: first", "my model/deep/b.txt: second"]);
      assert.equal(await opened.page.evaluate(() => Reflect.get(window, "picked")), 2);
    });

    test("reads a blob's download and a file's", async () => {
      const blob = await opened.download(() => opened.page.click("#blob"));
      assert.equal(blob.name, "made-here.bin");
      assert.equal(blob.bytes.length, 30_000_000);
      assert.ok(blob.bytes.every((byte, i) => byte === i % 251));
      const file = await opened.download(() => opened.page.click("#file"));
      assert.deepEqual(file, { name: "served.bin", bytes: Buffer.from([1, 2, 3, 255]) });
    });

    test("runs wasm in a module worker", async () => {
      const answer = await opened.page.waitForFunction(() => Reflect.get(window, "answer"));
      assert.equal(await answer.jsonValue(), 42);
    });

    test("takes a screenshot", async () => {
      const image = await opened.page.screenshot();
      assert.equal(image.subarray(1, 4).toString(), "PNG");
    });

    test("collects errors", async () => {
      assert.deepEqual(opened.problems, []);
      // The last of the two.
      const thrown = opened.page.waitForEvent("pageerror");
      await opened.page.evaluate(() => Reflect.get(window, "complain")());
      await thrown;
      assert.deepEqual(opened.problems, ["a complaint", "uncaught: thrown late"]);
    });

    test("gives every page a storage of its own", async () => {
      await opened.page.evaluate(() => localStorage.setItem("seen", "yes"));
      const other = await browser.open();
      await other.page.goto(server.origin);
      assert.equal(await other.page.evaluate(() => localStorage.getItem("seen")), null);
      await other.close();
    });

    /**
     * @param {string} selector
     * @param {"name" | "webkitRelativePath"} key
     */
    function readChosen(selector, key) {
      return opened.page.evaluate(async ([selector, key]) => {
        const { files } = /** @type {HTMLInputElement} */ (document.querySelector(selector));
        return Promise.all([...(files ?? [])].map(async (file) => `${file[key]}: ${await file.text()}`));
      }, /** @type {const} */ ([selector, key]));
    }
  });
}
