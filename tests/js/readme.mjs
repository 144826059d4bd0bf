// @ts-check
// The pages that people read (README.md and docs/), and the examples in them, which tests run as they stand there.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";

const root = new URL("../../", import.meta.url);

/** Every page, from the root of the repository. */
export const pages = ["README.md", "ARCHITECTURE.md", ...readdirSync(new URL("docs/", root)).filter((name) => name.endsWith(".md")).sort().map((name) => `docs/${name}`)];

/** @param {string} page */
export const textOf = (page) => readFileSync(new URL(page, root), "utf8");

/** The fenced block after `<!-- example: NAME -->`, in whichever page has it. @param {string} name */
export function example(name) {
  const fenced = new RegExp(`<!-- example: ${name} -->\n\`\`\`\\w*\n([^]*?)\n\`\`\``, "g");
  const found = pages.flatMap((page) => [...textOf(page).matchAll(fenced)].map(([, text]) => text));
  assert.equal(found.length, 1, `${found.length} examples are called ${name}`);
  return found[0];
}
