// @ts-check
// The pages of docs/ in the documentation: their order and the headings they stand under. A page that is not named here comes last.
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** @type {Record<string, string[]>} */
const HEADINGS = {
  "Using lorafold": ["page", "javascript", "command-line", "hub", "parts", "serve", "runtimes", "rust"],
  "What is merged": ["methods", "limits", "pissa", "combining", "task-vectors", "weights", "rounding"],
  "Adapters and merged models": ["combine", "extract", "verify", "unmerge", "provenance", "model-card"],
  "For reference": ["errors", "benchmarks", "ARCHITECTURE"],
};
const LAST = "More";

/** The headings, in their order. */
export const headings = [...Object.keys(HEADINGS), LAST];

/** Under which heading a page stands. @param {string} file */
export const headingOf = (file) => Object.entries(HEADINGS).find(([, names]) => names.includes(basename(file, ".md")))?.[0] ?? LAST;

/** Every page, in order: those named above, whichever other ones are in docs/, and the architecture. */
export function pages() {
  const found = [...readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md")).sort().map((name) => join(root, "docs", name)), join(root, "ARCHITECTURE.md")];
  const order = Object.values(HEADINGS).flat();
  const named = order.flatMap((name) => found.filter((file) => basename(file, ".md") === name));
  return [...named, ...found.filter((file) => !named.includes(file))];
}

/** What a page is called: its first heading. @param {string} file */
export function titleOf(file) {
  const [, title] = /^# (.+)$/m.exec(readFileSync(file, "utf8")) ?? [];
  if (title === undefined) throw new Error(`${file} does not begin with a heading (# …)`);
  return title;
}
