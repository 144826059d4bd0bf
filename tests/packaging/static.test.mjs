// @ts-check
// The packed package as files of a static server: `<script type="module">`, no bundler, the strictest policy.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { browserNames, launch } from "../browser/harness.mjs";
import { serve } from "../browser/serve.mjs";
import { example } from "../js/readme.mjs";
import { checkPage } from "./page.mjs";
import { packedProject, rare, sample } from "./project.mjs";

// The README's line is the policy in force.
const [header = "", policy = ""] = example("policy").split(": ");

/** @param {string} script */
const page = (script) => `<!doctype html><meta charset="utf-8"><title>static</title><script type="module" src="${script}"></script>`;

const pages = {
  "index.html": page("main.js"),
  "main.js": `import * as lorafold from "/lorafold/browser.js";
import { provePage } from "/prove.js";
let evaluated = false;
try {
  evaluated = new Function("return true")();
} catch {}
provePage(lorafold, { more: { evaluated } });`,
  "slim.html": page("slim.js"),
  "slim.js": `import * as lorafold from "/lorafold/slim.js";
import { provePage } from "/prove.js";
lorafold.initialize(fetch("/lorafold/lorafold_bg.wasm"), {
  startWorker: () => new Worker("/lorafold/workers/browser-worker.js", { type: "module" }),
  rest: "/lorafold/lorafold_rest.wasm",
});
provePage(lorafold);`,
  "edge.html": page("edge.js"),
  "edge.js": `import * as lorafold from "/lorafold/edge.js";
import { provePage } from "/prove.js";
lorafold.initialize(fetch("/lorafold/lorafold_bg.wasm"), { rest: fetch("/lorafold/lorafold_rest.wasm") });
provePage(lorafold, { outputs: ["blob"] });`,
};

/** @type {import("./project.mjs").Project} */
let project;
/** @type {import("../browser/serve.mjs").TestServer} */
let server;
before(async () => {
  project = await packedProject();
  const folder = project.write({ ...pages, "prove.js": readFileSync(join(project.folder, "prove.js"), "utf8") });
  server = await serve(
    { "/": folder, "/lorafold/": project.installed, "/sample/": sample, "/rare/": rare },
    { headers: { [header]: policy } },
  );
});
after(async () => {
  await server?.close();
  project?.remove();
});

for (const name of browserNames) {
  describe(name, () => {
    /** @type {import("../browser/harness.mjs").TestBrowser} */
    let browser;
    before(async () => {
      browser = await launch(name);
    });
    after(() => browser?.close());

    test("the browser's entry point under a strict policy", async () => {
      const wanted = { ...project, expectedProblem: /JavaScript eval/ };
      const { evaluated } = await checkPage(browser, `${server.origin}/index.html`, server.origin, wanted);
      assert.equal(evaluated, false, "the policy is not in force");
    });

    test("slim, with workers of the page's", async () => {
      await checkPage(browser, `${server.origin}/slim.html`, server.origin, project);
    });

    test("edge, without workers", async () => {
      await checkPage(browser, `${server.origin}/edge.html`, server.origin, { ...project, outputs: 1, workers: false });
    });
  });
}
