// @ts-check
// The packed package through bundlers, and what they make of it in a real browser.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as vite from "vite";
import webpack from "webpack";
import { launch } from "../browser/harness.mjs";
import { serve } from "../browser/serve.mjs";
import { example } from "../js/readme.mjs";
import { checkPage } from "./page.mjs";
import { esbuild } from "./programs.mjs";
import { packedProject, rare, sample } from "./project.mjs";

/** @param {string} script */
const html = (script) => `<!doctype html><meta charset="utf-8"><title>bundled</title><script type="module" src="${script}"></script>\n`;
const main = `import * as lorafold from "lorafold";
import { provePage } from "../prove.js";
provePage(lorafold);
`;

/** @type {import("./project.mjs").Project} */
let project;
/** The models, on another origin. @type {import("../browser/serve.mjs").TestServer} */
let models;
/** @type {import("../browser/harness.mjs").TestBrowser} */
let browser;
before(async () => {
  project = await packedProject();
  models = await serve({ "/sample/": sample, "/rare/": rare }, { cors: "exposed" });
  browser = await launch("chromium");
});
after(async () => {
  await browser?.close();
  await models?.close();
  project?.remove();
});

/** Files below a folder. @param {string} folder */
const filesIn = (folder) => readdirSync(folder, { recursive: true, encoding: "utf8" });

/** @param {string} folder */
function assertTwoHalves(folder) {
  const found = filesIn(folder).filter((name) => name.endsWith(".wasm"));
  assert.equal(found.length, 2, `the output has ${found.join(" and ") || "no .wasm"}`);
}

/** Serve what a bundler made, and look at it in the browser. @param {string} folder */
async function checkOutput(folder) {
  assertTwoHalves(folder);
  const server = await serve(folder);
  try {
    await checkPage(browser, `${server.origin}/`, models.origin, project);
  } finally {
    await server.close();
  }
}

describe("Vite", () => {
  /** @param {string} folder @returns {import("vite").InlineConfig} */
  const config = (folder) => ({ root: folder, configFile: false, logLevel: "warn", cacheDir: join(folder, ".vite") });

  test("development server", async () => {
    const folder = project.write({ "index.html": html("./main.js"), "main.js": main });
    const server = await vite.createServer({ ...config(folder), server: { port: 0, host: "127.0.0.1", fs: { allow: [project.folder] } } });
    try {
      await server.listen();
      await checkPage(browser, server.resolvedUrls?.local[0] ?? "", models.origin, project);
      // The package went through the optimizer of dependencies, which used to lose its WebAssembly and workers.
      assert.ok(readdirSync(join(folder, ".vite", "deps")).includes("lorafold.js"));
    } finally {
      await server.close();
    }
  });

  test("build and preview", async () => {
    const folder = project.write({ "index.html": html("./main.js"), "main.js": main });
    await vite.build({ ...config(folder), logLevel: "error" });
    assertTwoHalves(join(folder, "dist"));
    const server = await vite.preview({ ...config(folder), preview: { port: 0, host: "127.0.0.1" } });
    try {
      await checkPage(browser, server.resolvedUrls?.local[0] ?? "", models.origin, project);
    } finally {
      await server.close();
    }
  });
});

test("webpack", async () => {
  const folder = project.write({ "main.js": main, "dist/index.html": html("main.js") });
  // Without the hint that 244 KiB are large for a file.
  const compiler = webpack({
    context: folder, mode: "production", performance: false, entry: "./main.js", output: { path: join(folder, "dist") },
  });
  const stats = await new Promise((resolve, reject) => compiler.run((error, stats) => (error ? reject(error) : resolve(stats))));
  await new Promise((resolve) => compiler.close(resolve));
  assert.equal(stats.hasErrors() || stats.hasWarnings(), false, stats.toString());
  await checkOutput(join(folder, "dist"));
});

test("esbuild, as the README has it", async () => {
  const prove = `import * as lorafold from "lorafold/slim";\nimport { provePage } from "../prove.js";\nprovePage(lorafold);\n`;
  const folder = project.write({ "main.js": `${example("slim")}\n${prove}`, "dist/index.html": html("main.js") });
  const [program, ...args] = example("esbuild").split(" ");
  assert.equal(program, "esbuild");
  execFileSync(esbuild(), [...args, "--log-level=warning"], { cwd: folder, stdio: "pipe" });
  await checkOutput(join(folder, "dist"));
});
