// @ts-check
// The examples of the README, which tests run as they stand there.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

/** The fenced block after `<!-- example: NAME -->`. @param {string} name */
export function example(name) {
  const found = new RegExp(`<!-- example: ${name} -->\n\`\`\`\\w*\n([^]*?)\n\`\`\``).exec(readme)?.[1];
  assert.ok(found, `README.md has no example ${name}`);
  return found;
}
