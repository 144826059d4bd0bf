// @ts-check
// Sites that lack a part of the package, and browsers that refuse one: said in words, and nothing is left.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { root } from "../setup/tools.mjs";
import { browserNames, launch } from "./harness.mjs";
import { serve } from "./serve.mjs";

const fixtures = join(root, "tests", "fixtures", "sample");

const html = `<!doctype html><meta charset="utf-8"><title>broken</title><link rel="icon" href="data:,"><script type="module" src="page.mjs"></script>`;

const page = `import { merge, LorafoldError } from "/pkg/browser.js";
const files = (folder, names) => Promise.all(names.map(async (name) => new File([await (await fetch("/sample/" + folder + "/" + name)).blob()], name)));
globalThis.run = async ({ base, adapter }, output) => {
  try {
    await merge({ base: await files("tiny-llama", base), adapters: [await files("storyteller-lora", adapter)], output });
    return {};
  } catch (error) {
    const kept = [];
    const storage = await globalThis.storage().then((folder) => folder?.keys() ?? []);
    for await (const name of storage) kept.push(name);
    return { ours: error instanceof LorafoldError, code: error.code, message: error.message, kept };
  }
};
const root = navigator.storage.getDirectory.bind(navigator.storage);
globalThis.storage = () => root().then((folder) => folder.getDirectoryHandle("lorafold")).catch(() => undefined);
globalThis.ready = true;`;

/** @type {string} */
let scratch;
/** @type {import("./serve.mjs").TestServer} */
let server;

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), "lorafold-broken-"));
  writeFileSync(join(scratch, "index.html"), html);
  writeFileSync(join(scratch, "page.mjs"), page);
  server = await serve({ "/": scratch, "/pkg/": join(root, "pkg"), "/sample/": fixtures });
});

after(async () => {
  await server?.close();
  rmSync(scratch, { recursive: true, force: true });
});

const given = { base: readdirSync(join(fixtures, "tiny-llama")), adapter: readdirSync(join(fixtures, "storyteller-lora")) };

for (const name of browserNames) {
  describe(name, () => {
    /** @type {import("./harness.mjs").TestBrowser} */
    let browser;
    before(async () => {
      browser = await launch(name);
    });
    after(() => browser?.close());

    /**
     * @param {(page: import("playwright-core").Page) => Promise<unknown>} breakIt
     * @param {(run: (output?: string) => Promise<any>, page: import("playwright-core").Page) => Promise<void>} use
     */
    async function withBroken(breakIt, use) {
      const { page, close } = await browser.open();
      try {
        await breakIt(page);
        await page.goto(server.origin);
        await page.waitForFunction("globalThis.ready === true");
        await use((output = "blob") => page.evaluate(`run(${JSON.stringify(given)}, ${JSON.stringify(output)})`), page);
      } finally {
        await close();
      }
    }

    for (const [how, answer] of /** @type {[string, Parameters<import("playwright-core").Route["fulfill"]>[0] | undefined][]} */ ([
      ["does not come", undefined],
      ["is not there", { status: 404, body: "" }],
      ["is a page", { status: 200, contentType: "text/html; charset=utf-8", body: "<!doctype html>" }],
    ])) {
      test(`the WebAssembly ${how}, and is there the next time`, () =>
        withBroken(
          (page) => page.route("**/*.wasm", (route) => (answer ? route.fulfill(answer) : route.abort())),
          async (run, page) => {
            const failed = await run();
            assert.deepEqual([failed.ours, failed.code], [true, "fetch-failed"], failed.message);
            assert.match(failed.message, /lorafold's WebAssembly/);
            await page.unroute("**/*.wasm");
            assert.deepEqual(await run(), {});
          },
        ));
    }

    for (const [script, output] of [["opfs-worker.js", "opfs"], ["browser-worker.js", "blob"], ["browser-worker.js", "opfs"]]) {
      test(`${script} is not there, with ${output}`, () =>
        withBroken(
          (page) => page.route(`**/${script}`, (route) => route.fulfill({ status: 404, body: "" })),
          async (run) => {
            const failed = await run(output);
            assert.deepEqual([failed.ours, failed.code, failed.kept], [true, "fetch-failed", []], failed.message);
            assert.match(failed.message, /script of a worker could not be loaded/);
          },
        ));
    }

    for (const output of ["blob", "opfs"]) {
      test(`workers are forbidden, with ${output}`, () =>
        withBroken(
          (page) => page.addInitScript(() => {
            const Worker = function (/** @type {string | URL} */ url) {
              throw new DOMException(`${url} is another origin's`, "SecurityError");
            };
            Object.assign(globalThis, { Worker });
          }),
          async (run) => {
            const failed = await run(output);
            assert.deepEqual([failed.ours, failed.code, failed.kept], [true, "fetch-failed", []], failed.message);
            assert.match(failed.message, /a worker could not be started .*another origin's.*worker-src/);
          },
        ));
    }

    test("the private file system is forbidden", () =>
      withBroken(
        (page) => page.addInitScript(() => {
          navigator.storage.getDirectory = async () => {
            throw new DOMException("no", "SecurityError");
          };
        }),
        async (run) => {
          const failed = await run("opfs");
          assert.deepEqual([failed.ours, failed.code], [true, "write-failed"], failed.message);
          assert.match(failed.message, /^the private file system: this page is not permitted/);
        },
      ));
  });
}
