// @ts-check
// A page loads the second half of the WebAssembly when it is needed, and only then.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { fixture, FIXTURES } from "../js/fixture.mjs";
import { root } from "../setup/tools.mjs";
import { browserNames, launch } from "./harness.mjs";
import { serve } from "./serve.mjs";

const page = `import { merge } from "/pkg/browser.js";
const files = ({ path, names }) => Promise.all(names.map(async (name) => new File([await (await fetch("/fixtures/" + path + "/" + name)).blob()], name)));
globalThis.run = async ({ base, adapter, workers }) => {
  const { files: made } = await merge({ base: await files(base), adapters: [await files(adapter)], workers });
  return made.length;
};
globalThis.ready = true;`;

/** @type {string} */
let scratch;
/** @type {import("./serve.mjs").TestServer} */
let server;
before(async () => {
  scratch = mkdtempSync(join(tmpdir(), "lorafold-halves-"));
  writeFileSync(join(scratch, "index.html"), '<!doctype html><title>halves</title><link rel="icon" href="data:,"><script type="module" src="page.mjs"></script>');
  writeFileSync(join(scratch, "page.mjs"), page);
  server = await serve({ "/": scratch, "/pkg/": join(root, "pkg"), "/fixtures/": FIXTURES });
});
after(async () => {
  await server?.close();
  rmSync(scratch, { recursive: true, force: true });
});

/** @param {string} name @param {number} workers */
function request(name, workers) {
  const { base, adapters } = fixture(name);
  const folder = (/** @type {string} */ path) => ({ path: `${name}/${basename(path)}`, names: readdirSync(path) });
  return { base: folder(base), adapter: folder(adapters[0].path), workers };
}

const rests = () => server.requests.filter(({ path }) => path === "/pkg/lorafold_rest.wasm").length;

for (const browserName of browserNames) {
  for (const workers of [0, 1]) {
    test(`in ${browserName} with ${workers} workers`, async (t) => {
      const browser = await launch(browserName);
      t.after(browser.close);
      const { page, problems } = await browser.open();
      await page.goto(server.origin);
      await page.waitForFunction("globalThis.ready === true");
      const before = rests();
      const run = (/** @type {string} */ name) => page.evaluate(`run(${JSON.stringify(request(name, workers))})`);
      assert.ok(Number(await run("linear-r8")) > 0);
      assert.equal(rests(), before);
      assert.ok(Number(await run("loha")) > 0);
      assert.ok(rests() > before);
      assert.deepEqual(problems, []);
    });
  }
}
