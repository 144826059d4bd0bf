// @ts-check
// The methods that merge several adapters are listed by hand in several places; each list has all of them.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../setup/tools.mjs";

/** A part of a file, from one text to the next of another. @param {string} path @param {string} from @param {string} to */
function part(path, from, to) {
  const text = readFileSync(join(root, path), "utf8");
  const begin = text.indexOf(from);
  assert.ok(begin >= 0, `${path} has no ${from}`);
  const end = text.indexOf(to, begin + from.length);
  assert.ok(end >= 0, `${path} has no ${to} after ${from}`);
  return text.slice(begin + from.length, end);
}

/** All that a pattern finds, without what is found twice, in order of the letters. @param {string} text @param {RegExp} pattern */
const found = (text, pattern) => [...new Set([...text.matchAll(pattern)].map(([, name = ""]) => name))].sort();

const planned = [...found(part("src/plan/rules.rs", "const METHODS: &[Method] = &[", "\n];"), /Method::of\("(\w+)"/g), "linear"].sort();

test("every list of the methods that combine deltas is that of the plan", () => {
  assert.ok(planned.length > 10, planned.join(", "));
  const options = part("pkg-templates/src/schema.ts", "How the deltas of several adapters combine", ",\n");
  const lists = {
    "the type of the options": found(options.slice(options.indexOf("method?:")), /"(\w+)"/g),
    "the command line": found(part("pkg-templates/src/cli/commands.ts", "const METHODS = [", "]"), /"(\w+)"/g),
    "the page": found(part("www/src/methods.ts", "export const METHODS", "\n};"), /^ {2}(\w+): \{/gm),
    "the groups of the page": found(part("www/src/methods.ts", "export const GROUPS", "\n];").replace(/label: "[^"]*"/g, ""), /"(\w+)"/g),
    "the table of methods": found(part("docs/combining.md", "## Methods", "\n## ").replace(/^\| (.*?) \|.*$/gm, "# $1").replace(/^[^#].*$/gm, ""), /`(\w+)`/g),
    "the table of options": found(part("docs/combining.md", "Which option goes with which method", "Defaults:").replace(/^\| method.*$/m, "").replace(/^\| (.*?) \|.*$/gm, "$1"), /`(\w+)`/g),
  };
  for (const [where, names] of Object.entries(lists)) assert.deepEqual(names, planned, where);
});

test("the command line knows the ways of making one adapter of several that the package has", () => {
  const options = part("pkg-templates/src/schema.ts", "How the adapters become one", ",\n");
  const made = found(options.slice(options.indexOf("method?:")), /"(\w+)"/g);
  assert.ok(made.length > 5, made.join(", "));
  assert.deepEqual(found(part("pkg-templates/src/cli/commands.ts", "const COMBINATIONS = [", "]"), /"(\w+)"/g), made);
});

test("what is taken out of a merge again is a method that there is", () => {
  const names = new Set(readdirSync(join(root, "src", "op"), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".rs")).flatMap((name) => found(readFileSync(join(root, "src", "op", name), "utf8"), /"([\w-]+)"/g)));
  const lists = ["const ADDITIVE: &[&str] = &[", "const INVERTED: &[&str] = &["].map((from) => found(part("src/plan/unmerge.rs", from, "];"), /"([\w-]+)"/g));
  for (const list of lists) assert.deepEqual(list.filter((name) => !names.has(name)), []);
  assert.deepEqual(lists[0]?.filter((name) => lists[1]?.includes(name)), []);
});
