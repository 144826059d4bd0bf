// @ts-check
// Models of the hub in browsers, which follow redirects by themselves: a token reaches the hub, and never the host that has the files.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fakeHub } from "../fake-hub.mjs";
import { tinyModel } from "../js/tiny-model.mjs";
import { root } from "../setup/tools.mjs";
import { browserNames, launch } from "./harness.mjs";
import { serve } from "./serve.mjs";

const TOKEN = "hf_SECRETsecret0123456789";

const html = `<!doctype html><meta charset="utf-8"><title>hub</title><link rel="icon" href="data:,">
<script type="module">
  import { inspect, merge } from "/pkg/browser.js";
  globalThis.described = (endpoint, token) => inspect("hf://org/private", { hub: { endpoint, token } }).then(({ parameters }) => parameters, ({ code, facts }) => [code, facts.kind]);
  globalThis.merged = (endpoint, token) => merge({ base: "hf://org/private", adapters: ["hf://org/lora"], hub: { endpoint, token } }).then(({ report }) => report.merged);
  globalThis.ready = true;
</script>`;

/** @type {Awaited<ReturnType<typeof fakeHub>>} */
let hub;
/** @type {import("./serve.mjs").TestServer} */
let site;
/** @type {string} */
let folder;
before(async () => {
  hub = await fakeHub();
  hub.accounts.set(TOKEN, { user: "org" });
  const { base, adapter } = tinyModel();
  hub.push("org/private", base, { private: true });
  hub.push("org/lora", adapter, { private: true });
  folder = mkdtempSync(join(tmpdir(), "lorafold-hub-page-"));
  writeFileSync(join(folder, "index.html"), html);
  site = await serve({ "/": folder, "/pkg/": join(root, "pkg") });
});
after(async () => {
  await site?.close();
  hub?.close();
  rmSync(folder, { recursive: true, force: true });
});

for (const name of browserNames) {
  describe(`in ${name}`, () => {
    test("a token opens a private model, and is not sent on with redirects", async () => {
      const browser = await launch(name);
      try {
        const { page } = await browser.open();
        await page.goto(`${site.origin}/index.html`);
        await page.waitForFunction(() => Reflect.get(globalThis, "ready"));
        const [unknown, known, merged] = await page.evaluate(async ([endpoint, token]) => {
          const { described, merged } = /** @type {any} */ (globalThis);
          return [await described(endpoint, false), await described(endpoint, token), await merged(endpoint, token)];
        }, [hub.url, TOKEN]);
        assert.deepEqual([unknown, known, merged], [["fetch-failed", "no-repository"], 60, 2]);
        const stored = hub.asked.filter(({ host, method }) => host === "storage" && method === "GET");
        assert.ok(stored.length > 0, "the files are on another host");
        assert.deepEqual(stored.filter(({ authorization }) => authorization !== undefined), []);
        assert.ok(hub.asked.some(({ host, authorization }) => host === "hub" && authorization === `Bearer ${TOKEN}`));
      } finally {
        await browser.close();
        hub.asked.length = 0;
      }
    });
  });
}
