// @ts-check
// The packed package in Node, Deno and Bun, imported and required.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { example } from "../js/readme.mjs";
import { bun, deno } from "./programs.mjs";
import { packedProject, sample } from "./project.mjs";

/** @type {import("./project.mjs").Project} */
let project;
before(async () => {
  project = await packedProject();
});
after(() => project?.remove());

/** A script that merges paths, in workers and without. @param {string} imports */
const script = (imports) => `${imports}
const where = (name) => ${JSON.stringify(sample)} + "/" + name;
(async () => {
  const { models, hashes } = await import("../prove.js");
  const sums = [];
  for (const workers of [0, 2]) sums.push(await hashes(await merge({ ...models(where), workers })));
  console.log(JSON.stringify(sums));
})();
`;

/** @param {string} name @param {string} text @param {Parameters<import("./project.mjs").Project["run"]>[1]} [options] */
async function check(name, text, options) {
  const folder = project.write({ [name]: text });
  assert.deepEqual(await project.run(`${folder}/${name}`, options), [project.expected, project.expected]);
}

test("Node, import", () => check("main.mjs", script('import { merge } from "lorafold";')));

test("Node, require, as the README has it", () => check("main.cjs", script(example("require"))));

test("Node, import() in CommonJS", () => check("main.cjs", script('const merge = async (options) => (await import("lorafold")).merge(options);')));

test("Deno", () => check("main.mjs", script('import { merge } from "lorafold";'), deno()));

test("Bun", () => check("main.mjs", script('import { merge } from "lorafold";'), bun()));
