// @ts-check
// What the page says about what it is given: of all that is dropped, picked or typed nothing is left out without a word, and errors say what to do.
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../setup/tools.mjs";
import { describePage } from "./page-suite.mjs";
import { at, planned } from "./page-use.mjs";

/** @typedef {import("./harness.mjs").TestPage} TestPage */

const sample = join(root, "tests", "fixtures", "sample");
const base = join(sample, "tiny-llama");
const adapter = join(sample, "storyteller-lora");

/** The error's text, once it says what is expected. @param {TestPage} tab @param {string} title */
async function planError({ page }, title) {
  await page.waitForSelector(`${at("plan-error")} >> text=${title}`);
  return page.innerText(at("plan-error"));
}

/** Drop links on a section. @param {TestPage} tab @param {string} zone @param {string} list */
const dropLinks = ({ page }, zone, list) =>
  page.evaluate(([zone, list]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.setData("text/uri-list", list);
    const target = document.querySelector(`[data-zone=${zone}] h2`);
    for (const type of ["dragover", "drop"]) target?.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
  }, /** @type {const} */ ([zone, list]));

const complaints = (/** @type {TestPage} */ { page }) =>
  page.evaluate(() => ["base", "adapters"].map((zone) => document.querySelector(`[data-zone=${zone}] .complaint`)?.textContent));

describePage(({ name, scratch, withPage }) => {
  test("files that are no base or no adapter are told by what they are", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const folder = await mkdtemp(join(scratch(), "others-"));
      for (const file of ["model.gguf", "model.zip", "pytorch_model.bin"]) await writeFile(join(folder, file), "not safetensors");
      const html = join(folder, "model.safetensors");
      await writeFile(html, "<!DOCTYPE html><title>Not found</title>");
      await tab.setFolder(at("adapter-folder"), adapter);
      for (const [files, title, todo] of /** @type {const} */ ([
        [[join(base, "model-00001-of-00002.safetensors")], "Files of the model are missing", /needs all of them/],
        [[join(base, "model.safetensors.index.json")], "Files of the model are missing", /needs all of them/],
        [[join(folder, "model.gguf")], "model.gguf is GGUF", /lorafold reads safetensors/],
        [[join(folder, "pytorch_model.bin")], "This file is not safetensors", /Take the model in safetensors/],
        [[join(folder, "model.zip")], "model.zip is a packed archive", /Unpack it/],
        [[join(adapter, "adapter_config.json"), join(adapter, "adapter_model.safetensors")], "This is an adapter, not a base", /swap them/],
        [[html], "This is a web page", /address of the file itself/],
      ])) {
        await tab.setFiles(at("base-files"), [...files]);
        assert.match(await planError(tab, title), todo);
        // A single file is called by its name.
        if (files.length === 1) assert.doesNotMatch(await page.innerText("#base"), /1 files/);
        await page.getByRole("button", { name: "Choose another base" }).click();
      }
      await tab.setFolder(at("base-folder"), base);
      await page.getByRole("button", { name: "Remove storyteller-lora" }).click();
      await tab.setFolder(at("adapter-folder"), base);
      assert.match(await planError(tab, "This is a base, not an adapter"), /swap them/);
      await page.getByRole("button", { name: "Remove tiny-llama" }).click();
      await tab.setFiles(at("adapter-files"), [join(adapter, "adapter_model.safetensors")]);
      assert.match(await planError(tab, "The adapter’s configuration is missing"), /type its lora_alpha under the adapter’s settings/);
    }));

  test("who is asked for a file does not learn where the page is, and nothing but files can be asked for", async () => {
    /** @type {(string | undefined)[]} */
    const referrers = [];
    const server = createServer(({ headers }, response) => {
      referrers.push(headers.referer);
      response.writeHead(404, { "Access-Control-Allow-Origin": "*" }).end();
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    try {
      await withPage(async (tab) => {
        await tab.page.evaluate((address) => fetch(address).then((response) => response.text()), `http://127.0.0.1:${port}/`);
        const refused = await tab.page.evaluate((address) => new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => resolve(effectiveDirective), { once: true });
          try {
            new WebSocket(address).addEventListener("open", () => resolve("opened"));
          } catch {
            // Some throw, too.
          }
        }), `ws://127.0.0.1:${port}/`);
        assert.equal(refused, "connect-src");
        // The browser says so, as it should.
        tab.problems.length = 0;
      }, { misses: true });
      assert.deepEqual(referrers, [undefined]);
    } finally {
      server.close();
    }
  });

  test("addresses that answer with something else, or to nobody", async () => {
    let status = 200;
    const server = createServer((_, response) => {
      response.writeHead(status, { "Access-Control-Allow-Origin": "*", "Content-Type": "text/html" });
      response.end("<!DOCTYPE html><title>Page not found</title>");
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    try {
      await withPage(async (tab) => {
        const { page } = tab;
        await tab.setFolder(at("adapter-folder"), adapter);
        for (const path of ["model", "model.safetensors"]) {
          await page.fill(at("base-url"), `http://127.0.0.1:${port}/${path}`);
          await page.press(at("base-url"), "Enter");
          assert.match(await planError(tab, "This is a web page"), /asks to log in/);
          await page.getByRole("button", { name: "Choose another base" }).click();
        }
        status = 401;
        // The address of the hub's page, which people copy, stands for the repository.
        await page.route("https://huggingface.co/**", (route) => route.fulfill({ status: 401, headers: { "Access-Control-Allow-Origin": "*" }, body: "" }));
        for (const address of [`http://127.0.0.1:${port}/model`, "https://huggingface.co/organisation/model/tree/main"]) {
          await page.fill(at("base-url"), address);
          await page.press(at("base-url"), "Enter");
          const todo = address.includes("hugging") ? /Give a token of an account that has access under “Access to the hub”/ : /sends a token to the hub alone/;
          assert.match(await planError(tab, "does not let everybody read this"), todo);
          if (address.includes("hugging")) assert.match(await page.innerText("#base"), /hf:\/\/organisation\/model@main/);
          await page.getByRole("button", { name: "Choose another base" }).click();
        }
        // The browser itself complains of each 401.
        tab.problems.length = 0;
      });
    } finally {
      server.close();
    }
  });

  test("hidden files of the base are part of it, what the system leaves in folders is not", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const folder = join(await mkdtemp(join(scratch(), "hidden-")), "model");
      await cp(base, folder, { recursive: true });
      for (const file of [".gitattributes", ".DS_Store", "._config.json"]) await writeFile(join(folder, file), "hidden");
      await mkdir(join(folder, ".git"));
      await writeFile(join(folder, ".git", "HEAD"), "ref");
      await tab.setFolder(at("base-folder"), folder);
      await tab.setFolder(at("adapter-folder"), adapter);
      await planned(tab);
      await page.click("summary:has-text('Output files')");
      const files = await page.locator(`${at("planned-files")} .file-name`).allInnerTexts();
      assert.ok(files.includes(".gitattributes"), files.join());
      assert.equal(files.length, 8);
      assert.doesNotMatch(await page.innerText(at("plan")), /\.git/);
    }));

  test("complaints are made where something was given, and go with their cause", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.fill(at("base-url"), "nonsense");
      await page.press(at("base-url"), "Enter");
      assert.match((await complaints(tab))[0] ?? "", /That is no address/);
      const field = page.locator(at("base-url"));
      assert.equal(await field.getAttribute("aria-invalid"), "true");
      const described = await field.evaluate((input) => (input.getAttribute("aria-describedby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent).join(" "));
      assert.match(described, /That is no address/);
      await page.click(at("try-sample"));
      await planned(tab);
      await page.getByRole("button", { name: "Choose another base" }).click();
      assert.deepEqual(await complaints(tab), ["", ""]);
      assert.equal(await field.inputValue(), "");
      assert.equal(await field.getAttribute("aria-invalid"), "false");

      await dropLinks(tab, "base", "mailto:me@example.org");
      await page.waitForSelector("#base .complaint >> text=That is no address");
      await dropLinks(tab, "base", "# two\r\nhf://organisation/one\r\nhf://organisation/two\r\n");
      await page.waitForSelector("#base .complaint >> text=There is one base: “two” was not taken.");
      assert.match(await page.innerText(at("base-chosen")), /hf:\/\/organisation\/one\s/);
    }, { prepare: (page) => page.route("https://huggingface.co/**", () => {}) }));

  // Only Chromium's driver can drop what is on disk.
  if (name === "chromium") test("of the folders that are dropped none is left out without a word", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const session = await page.context().newCDPSession(page);
      const drop = async (/** @type {string} */ selector, /** @type {string[]} */ files) => {
        const { x = 0, y = 0 } = (await page.locator(selector).boundingBox()) ?? {};
        for (const type of /** @type {const} */ (["dragEnter", "dragOver", "drop"])) {
          await session.send("Input.dispatchDragEvent", { type, x: x + 9, y: y + 9, data: { items: [], files, dragOperationsMask: 1 } });
        }
      };
      const folder = await mkdtemp(join(scratch(), "dropped-"));
      const [whole, empty] = ["whole", "empty"].map((part) => join(folder, part));
      await cp(base, whole, { recursive: true });
      await mkdir(join(whole, "onnx"));
      await writeFile(join(whole, "onnx", "model.onnx"), await readFile(join(base, "config.json")));
      await mkdir(join(empty, "nested"), { recursive: true });

      await drop("#base-heading", [empty]);
      await page.waitForSelector("#base .complaint >> text=There are no files directly in “empty”");
      assert.equal((await complaints(tab))[1], "");
      await drop("#base-heading", [whole, base, empty, adapter]);
      await page.waitForSelector("#base .complaint >> text=There is one base: “tiny-llama” was not taken. There are no files directly in “empty”");
      assert.match(await page.innerText(at("base-chosen")), /^whole\s+7 files/);
      await planned(tab);
      assert.match(await page.innerText(at("plan")), /not copied to the output: onnx\//);
    }));
});
