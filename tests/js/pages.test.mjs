// @ts-check
// README.md and the pages of docs/: their links lead somewhere, and the documentation has them all.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { pages as inDocumentation, titleOf } from "../../pkg-templates/reference/pages.mjs";
import { pages, textOf } from "./readme.mjs";

const root = resolve(import.meta.dirname ?? ".", "../..");

/** A page without its blocks and spans of code. @param {string} text */
const prose = (text) => text.replace(/^```[^]*?^```$/gm, "").replace(/`[^`\n]*`/g, "`code`");

/** The addresses of a page's links and pictures. @param {string} text */
const linksOf = (text) => [...prose(text).matchAll(/\]\(([^)\s]+)\)/g), ...prose(text).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address = ""]) => address);

/** What can follow # in a link to a page: its headings, as GitHub and the documentation spell them. @param {string} text */
function anchorsOf(text) {
  const headings = [...text.replace(/^```[^]*?^```$/gm, "").matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => heading);
  return headings.map((heading) => heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-"));
}

for (const page of [...pages, "benches/NOTES.md", "pkg-templates/README.md", "tests/fixtures/README.md"].filter((name) => existsSync(join(root, name)))) {
  test(`the links of ${page}`, () => {
    const wrong = linksOf(textOf(page)).filter((address) => !/^https?:/.test(address)).filter((address) => {
      const [path = "", anchor] = address.split("#");
      const file = path === "" ? join(root, page) : join(root, dirname(page), path);
      if (!existsSync(file)) return true;
      return anchor !== undefined && (statSync(file).isDirectory() || !anchorsOf(readFileSync(file, "utf8")).includes(anchor));
    });
    assert.deepEqual(wrong, []);
  });
}

test("a link that leads nowhere would be seen", () => {
  assert.deepEqual(linksOf("[a](b.md#c) `[d](e.md)` ![f](g.png)\n```\n[h](i.md)\n```\n<img src=\"j.png\">"), ["b.md#c", "g.png", "j.png"]);
  assert.deepEqual(anchorsOf("# One, two\n## `A` & b\n```\n# not\n```\n"), ["one-two", "a--b"]);
});

test("the documentation has every page once, with a name of its own", () => {
  const files = inDocumentation();
  assert.deepEqual(files.map((file) => relative(root, file).replaceAll("\\", "/")).sort(), pages.filter((page) => page !== "README.md").sort());
  const titles = files.map(titleOf);
  assert.equal(new Set(titles).size, titles.length, titles.join(", "));
});

test("a page of docs/ has one heading of the first order, at its beginning", () => {
  for (const name of readdirSync(join(root, "docs")).filter((file) => file.endsWith(".md"))) {
    const text = readFileSync(join(root, "docs", name), "utf8").replace(/^```[^]*?^```$/gm, "");
    assert.match(text, /^# /, name);
    assert.equal(text.match(/^# /gm)?.length, 1, name);
  }
});
