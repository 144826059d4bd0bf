// @ts-check
// The hub on the page: searching it as one types, links to the page that name what is merged, tokens, uploads.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { fakeHub } from "../fake-hub.mjs";
import { root } from "../setup/tools.mjs";
import { describePage } from "./page-suite.mjs";
import { at, mergeNow, planned, type } from "./page-use.mjs";

/** @typedef {import("./harness.mjs").TestPage} TestPage */

const sample = join(root, "tests", "fixtures", "sample");
const BASE = "org/tiny-llama";
const ADAPTER = "me/storyteller-lora";

/** @type {Awaited<ReturnType<typeof fakeHub>>} */
let hub;

/** @param {string} folder @param {Record<string, unknown>} [changes] of its adapter_config.json */
async function filesOf(folder, changes) {
  const names = await readdir(join(sample, folder));
  const files = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(sample, folder, name))])));
  if (changes) files["adapter_config.json"] = Buffer.from(JSON.stringify({ ...JSON.parse(String(files["adapter_config.json"])), ...changes }));
  return files;
}

async function startHub() {
  hub = await fakeHub();
  hub.push(BASE, await filesOf("tiny-llama"));
  hub.push("org/tiny-other", { "config.json": "{}" });
  hub.push(ADAPTER, await filesOf("storyteller-lora", { base_model_name_or_path: BASE }), { tags: [`base_model:adapter:${BASE}`] });
  hub.push("me/terse-rslora", await filesOf("terse-rslora"), { tags: [`base_model:adapter:${BASE}`] });
  hub.push("gated/storyteller-lora", await filesOf("storyteller-lora"), { gated: true });
  hub.accounts.set("hf_reader", { user: "reader", accepted: ["gated/storyteller-lora"] });
  hub.accounts.set("hf_writer", { user: "writer", write: true, sees: ["writer/merged"] });
  return hub.url;
}

/** The models that the list of a field shows. @param {TestPage} tab @param {string} zone */
const found = async ({ page }, zone) => {
  await page.waitForSelector(`[data-zone=${zone}] ${at("hub-found")} [data-name]`);
  return page.locator(`[data-zone=${zone}] ${at("hub-found")} [data-name]`).evaluateAll((all) => all.map((one) => one.getAttribute("data-name")));
};

/** The query of the page's address, once it is this. @param {TestPage} tab @param {string} query */
const linked = ({ page }, query) => page.waitForFunction((query) => decodeURIComponent(location.search) === query, query);

after(() => hub?.close());

describePage(({ withPage }) => {
  test("models are found as one types, and the adapters of the base before one does", () =>
    withPage(async (tab) => {
      const { page } = tab;
      const searches = () => hub.asked.filter(({ path }) => path === "/api/models").length;
      const before = searches();
      await page.locator(at("base-url")).pressSequentially("tiny", { delay: 20 });
      assert.deepEqual(await found(tab, "base"), [BASE, "org/tiny-other"]);
      assert.equal(searches(), before + 1, "each letter is a search");
      await page.keyboard.press("ArrowDown");
      assert.equal(await page.evaluate(() => document.getElementById(document.activeElement?.getAttribute("aria-activedescendant") ?? "")?.dataset.name), BASE);
      await page.keyboard.press("Enter");
      await page.waitForSelector(`${at("base-chosen")} >> text=hf://${BASE}`);
      await page.waitForSelector(`${at("base-chosen")} ${at("about")} >> text=/parameters\\s· BF16/`);
      // Nothing is typed: those that name this base.
      await page.click(at("adapter-url"));
      assert.deepEqual(await found(tab, "adapters"), [ADAPTER, "me/terse-rslora"]);
      await page.click(`[data-zone=adapters] [data-name="${ADAPTER}"]`);
      await planned(tab);
      await linked(tab, `?base=${BASE}&adapter=${ADAPTER}`);
      // An address is nobody's search.
      const asked = searches();
      await type(page.locator(at("adapter-url")), `${hub.url}/me/terse-rslora`);
      await page.press(at("adapter-url"), "Enter");
      await page.waitForSelector("text=4 of 4 modules merged");
      assert.equal(searches(), asked);
    }));

  test("a link names what is merged, and follows what is picked", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await planned(tab);
      assert.match(await page.innerText(at("base-chosen")), /hf:\/\/org\/tiny-llama/);
      const weights = () => page.locator(at("adapter-weight")).evaluateAll((all) => all.map((one) => /** @type {HTMLInputElement} */ (one).value));
      assert.deepEqual(await weights(), ["0.8", "-0.5"]);
      await type(page.locator(at("adapter-weight")).first(), "1");
      await linked(tab, `?base=${BASE}&adapter=${ADAPTER}@main&adapter=me/terse-rslora@-0.5`);
      await page.reload();
      await planned(tab);
      assert.deepEqual(await weights(), ["1", "-0.5"]);
      await page.getByRole("button", { name: "Choose another base" }).click();
      await linked(tab, `?adapter=${ADAPTER}@main&adapter=me/terse-rslora@-0.5`);
    }, { query: `?base=hf.co/${BASE}&adapter=${ADAPTER}@main@0.8&adapter=me/terse-rslora@-.5` }));

  test("a link holds the method, its options, those of each adapter, and the others", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await planned(tab);
      const values = async (/** @type {string[]} */ ...fields) => Promise.all(fields.map((field) => page.locator(field).inputValue()));
      assert.deepEqual(await values(at("method"), at("method-density"), at("method-majoritySign"), at("method-flavor")), ["ties", "0.3", "frequency", ""]);
      assert.deepEqual(await values("[name=dtype]", "[name=rounding]", "[name=seed]", "[name=skip]"), ["bfloat16", "stochastic", "7", "norm|lm_head"]);
      assert.deepEqual(await page.locator(at("adapter-density")).evaluateAll((all) => all.map((one) => /** @type {HTMLInputElement} */ (one).value)), ["0.1", ""]);
      assert.deepEqual(await page.locator(at("adapter-weights")).evaluateAll((all) => all.map((one) => /** @type {HTMLTextAreaElement} */ (one).value)), ["mlp=0.5\nlayers:1-=-2", ""]);
      assert.deepEqual(await page.locator(at("adapter-only")).evaluateAll((all) => all.map((one) => /** @type {HTMLInputElement} */ (one).value)), ["", "q_proj"]);
      await mergeNow(tab);
      // What changes is followed, and what is as it was at first is not in it.
      await page.selectOption(at("method"), "della");
      await type(page.locator(at("adapter-density")).first(), "");
      await page.locator(".options").evaluateAll((all) => all.forEach((one) => (/** @type {HTMLDetailsElement} */ (one).open = true)));
      await page.selectOption("[name=dtype]", "keep");
      await page.uncheck("[name=statistics]");
      await type(page.locator(at("method-seed")), "9");
      await linked(tab, `?base=${BASE}&adapter=${ADAPTER}@0.8&weights=mlp=0.5&weights=layers:1-=-2&adapter=me/terse-rslora@-0.5&adapter-only=q_proj&method=della&density=0.3&majoritySign=frequency&rounding=stochastic&seed=9&skip=norm|lm_head&statistics=no`);
      await page.reload();
      await planned(tab);
      assert.deepEqual(await values(at("method"), at("method-seed"), "[name=seed]"), ["della", "9", "9"]);
      await page.selectOption(at("method"), "linear");
      await linked(tab, `?base=${BASE}&adapter=${ADAPTER}@0.8&weights=mlp=0.5&weights=layers:1-=-2&adapter=me/terse-rslora@-0.5&adapter-only=q_proj&rounding=stochastic&seed=9&skip=norm|lm_head&statistics=no`);
    }, { query: `?base=${BASE}&adapter=${ADAPTER}@0.8:density=0.1&weights=mlp%3D0.5&weights=layers:1-%3D-2&adapter=me/terse-rslora@-.5&adapter-only=q_proj&method=ties&density=0.3&majoritySign=frequency&dtype=bfloat16&rounding=stochastic&seed=7&skip=norm%7Clm_head` }));

  test("a link that names nothing says so", () =>
    withPage(async ({ page }) => {
      await page.waitForSelector("#base .complaint >> text=/this is a data set, not a model/i");
      await page.waitForSelector("#adapter-input .complaint >> text=That is no address");
    }, { query: "?base=hf.co/datasets/org/name&adapter=nonsense" }));

  test("the base that an adapter names is taken with one click", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.waitForSelector(`${at("adapter")} ${at("about")} >> text=/LoRA\\s· rank 8\\s· alpha 16\\s· trained on org.tiny-llama/`);
      await page.click(at("take-base"));
      await planned(tab);
      assert.equal(await page.locator(at("take-base")).isVisible(), false);
      await linked(tab, `?base=${BASE}&adapter=${ADAPTER}`);
    }, { query: `?adapter=${ADAPTER}` }));

  test("a token opens what is gated, stays in the tab, and is in no link", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await page.waitForSelector(`${at("plan-error")} >> text=The hub asks for terms to be accepted first`);
      assert.doesNotMatch(await page.innerText(at("plan-error")), /HF_TOKEN|--token/);
      await page.locator(at("plan-error")).getByRole("button", { name: "Give a token" }).click();
      assert.equal(await page.evaluate(() => document.activeElement?.id), "hub-token");
      await type(page.locator(at("hub-token")), "hf_reader");
      await page.press(at("hub-token"), "Tab");
      await planned(tab);
      await page.reload();
      await planned(tab);
      assert.equal(await page.inputValue(at("hub-token")), "hf_reader");
      assert.doesNotMatch(page.url(), /hf_/);
      assert.equal(await page.evaluate(() => localStorage.length), 0);
      assert.ok(hub.asked.every(({ host, authorization }) => host === "hub" || authorization === undefined));
      // The browser itself complains of each refusal.
      tab.problems.length = 0;
    }, { query: `?base=${BASE}&adapter=gated/storyteller-lora` }));

  test("a result is uploaded to the hub", () =>
    withPage(async (tab) => {
      const { page } = tab;
      await mergeNow(tab);
      await page.click(`${at("upload")} summary`);
      await page.fill(at("upload-to"), "writer/merged");
      await page.click(at("upload-start"));
      await page.waitForSelector(`${at("upload")} >> text=needs a token`);
      await page.locator(at("upload")).getByRole("button", { name: "Give a token" }).click();
      await type(page.locator(at("hub-token")), "hf_writer");
      await page.press(at("hub-token"), "Tab");
      // A token is no reason to merge again.
      await planned(tab);
      await page.click(at("upload-start"));
      await page.waitForSelector(`${at("upload")} a:text-is("writer/merged")`);
      const there = hub.files("writer/merged");
      const names = await page.locator(at("result-file")).evaluateAll((all) => all.map((row) => row.getAttribute("data-name") ?? ""));
      for (const name of names) assert.ok(there[name], `${name} is missing`);
      assert.equal(hub.repositories.get("writer/merged")?.private, true);
      hub.repositories.delete("writer/merged");
    }, { query: `?base=${BASE}&adapter=${ADAPTER}`, misses: true }));
}, { hub: startHub });
