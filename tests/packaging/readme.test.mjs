// @ts-check
// The package's own README, and the examples in its declarations: they compile under strict TypeScript and run from the tarball.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { browserNames, launch } from "../browser/harness.mjs";
import { serve } from "../browser/serve.mjs";
import { sha256 } from "../js/scratch.mjs";
import { npmScript } from "../setup/tools.mjs";
import { packedProject, root, sample } from "./project.mjs";

const execute = promisify(execFile);

/** @type {import("./project.mjs").Project} */
let project;
/** @type {string} */
let readme;
before(async () => {
  project = await packedProject();
  readme = readFileSync(join(project.installed, "README.md"), "utf8");
  // The folders that the examples name.
  symlinkSync(join(sample, "tiny-llama"), join(project.folder, "base"));
  symlinkSync(join(sample, "storyteller-lora"), join(project.folder, "adapter"));
});
after(() => project?.remove());

/** The fenced block after `<!-- example: NAME -->`. @param {string} name */
function example(name) {
  const [, text] = new RegExp(`<!-- example: ${name} -->\n\`\`\`\\w+\n([^]*?)\n\`\`\``).exec(readme) ?? [];
  assert.ok(text, `the README has no example ${name}`);
  return text;
}

/** Compile modules to JavaScript beside them, strictly; gives their folder. @param {Record<string, string>} files @param {Record<string, unknown>} [options] */
async function compiled(files, options = {}) {
  const compilerOptions = {
    target: "es2022", module: "nodenext", moduleResolution: "nodenext", strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true,
    noImplicitOverride: true, noPropertyAccessFromIndexSignature: true, types: [], ...options,
  };
  const folder = project.write({ ...files, "tsconfig.json": JSON.stringify({ compilerOptions, files: Object.keys(files) }) });
  await execute(process.execPath, [npmScript("typescript", "tsc"), "-p", folder]).catch((error) => assert.fail(error.stdout));
  return folder;
}

test("the README begins with how it is installed and run", () => {
  const [install, run] = [...readme.matchAll(/```sh\n([^]*?)\n```/g)].map(([, text]) => text);
  assert.equal(install, "npm i lorafold");
  assert.match(run ?? "", /^npx lorafold merge /);
  assert.ok(readme.indexOf("example: browser") < readme.indexOf("example: node"), "the page comes first");
});

test("its first command merges", async () => {
  const [, words = ""] = /^npx (lorafold merge .*)$/m.exec(readme) ?? [];
  const npx = process.env.npm_execpath?.endsWith("npm-cli.js") ? [process.execPath, process.env.npm_execpath.replace(/npm-cli\.js$/, "npx-cli.js")] : ["npx"];
  const [program = "npx", ...first] = npx;
  const { stdout } = await execute(program, [...first, "--no-install", ...words.split(" ")], { cwd: project.folder });
  assert.match(stdout, /^merged \d+ tensors of \d+ into merged/);
  assert.ok(readdirSync(join(project.folder, "merged")).includes("config.json"));
});

test("the examples for Node compile and run", async () => {
  const folder = await compiled({ "node.ts": example("node"), "merged.ts": example("merged") });
  const run = async (/** @type {string} */ name) => (await execute(process.execPath, [join(folder, name)], { cwd: project.folder })).stdout;
  assert.match(await run("node.js"), /^\d+ \[.*\]$[^]*^model-00001-of-00002\.safetensors \d+$[^]*^\d+ \{.*BF16/m);
  assert.match(await run("merged.js"), /^206 bytes 0-99\/\d+$/m);
});

test("the example for the edge compiles", async () => {
  await compiled({ "edge.ts": example("edge") });
});

test("every example of the declarations compiles", async () => {
  const declarations = readdirSync(project.installed, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".d.ts"));
  const found = declarations.flatMap((name) => [...readFileSync(join(project.installed, name), "utf8").matchAll(/@example\n\s*\* ```ts\n([^]*?)\n\s*\* ```/g)].map(([, text = ""]) => text.replace(/^\s*\* ?/gm, "")));
  assert.ok(found.length >= 6, `${found.length} examples`);
  await compiled(Object.fromEntries(found.map((text, number) => [`example-${number}.ts`, text])));
});

test("the options of a merge say what they are by default", () => {
  const types = ["types", "schema"].map((name) => readFileSync(join(project.installed, `${name}.d.ts`), "utf8")).join("\n");
  for (const [name, value] of Object.entries({ output: '"blob"', force: "false", statistics: "false", allowNonfinite: "false", dtype: '"keep"', method: '"linear"', rounding: '"nearest"', tied: '"auto"', allowUnmatched: "false", weight: "1" })) {
    assert.match(types, new RegExp(`@default ${value}\\n\\s*\\*/\\s*${name}\\?:`), name);
  }
});

for (const name of browserNames) {
  describe(name, () => {
    test("the example for a page merges what is chosen", async () => {
      const folder = await compiled({ "main.ts": example("browser") }, { lib: ["es2023", "dom", "dom.iterable"] });
      const html = `<!doctype html><meta charset="utf-8"><title>page</title>${example("page")}
<script type="importmap">{ "imports": { "lorafold": "/lorafold/browser.js" } }</script><script type="module" src="main.js"></script>`;
      cpSync(project.write({ "index.html": html }), folder, { recursive: true });
      const server = await serve({ "/": folder, "/lorafold/": project.installed });
      const browser = await launch(name);
      try {
        const { page, setFiles } = await browser.open();
        await page.goto(`${server.origin}/index.html`);
        for (const [id, model] of [["base", "tiny-llama"], ["adapter", "storyteller-lora"]]) {
          await setFiles(`#${id}`, readdirSync(join(sample, model)).map((file) => join(sample, model, file)));
        }
        await page.click("#merge");
        await page.waitForSelector("a");
        await page.waitForFunction((count) => document.querySelectorAll("a").length === count, readdirSync(join(project.folder, "merged")).length);
        // The same as the README's command has written.
        const links = await page.evaluate(() => Promise.all(Array.from(document.querySelectorAll("a"), async ({ download, href }) => {
          const hash = await crypto.subtle.digest("SHA-256", await (await fetch(href)).arrayBuffer());
          return [download, Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("")];
        })));
        const written = readdirSync(join(project.folder, "merged")).map((file) => [file, sha256(readFileSync(join(project.folder, "merged", file)))]);
        assert.deepEqual(links.sort(), written.sort());
      } finally {
        await browser.close();
        await server.close();
      }
    });
  });
}

test("the reference and the tarball have READMEs of their own", () => {
  assert.notEqual(readme, readFileSync(join(root, "README.md"), "utf8"));
});
