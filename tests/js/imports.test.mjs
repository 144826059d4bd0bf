// @ts-check
// The imports of the package's TypeScript, those of types included: no file imports itself through others.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const source = fileURLToPath(new URL("../../pkg-templates/src/", import.meta.url));

/** What wasm-bindgen generates; of ours it imports one file (pkg-templates/glue.mjs). */
const GLUE = "lorafold.ts";

/** Files that each file imports or exports from. @returns {Map<string, string[]>} */
function importGraph() {
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).map((name) => name.replaceAll("\\", "/")).filter((name) => name.endsWith(".ts"));
  return new Map(files.map((file) => {
    const found = readFileSync(join(source, file), "utf8").matchAll(/\bfrom\s+"(\.[^"]+)\.js"|^import\s+"(\.[^"]+)\.js"/gm);
    const imported = [...found].map(([, from, alone]) => `${posix.join(posix.dirname(file), from ?? alone)}.ts`);
    return /** @type {[string, string[]]} */ ([file, imported.filter((name) => name === GLUE || files.includes(name))]);
  })).set(GLUE, ["calls.ts"]);
}

test("the package's files import one another without a cycle", () => {
  const graph = importGraph();
  assert.ok(graph.size > 50 && graph.get("merge.ts")?.includes("prepare.ts"), "the imports are not found");
  /** Files that are known to be in no cycle. @type {Set<string>} */
  const done = new Set();
  /** @param {string} file @param {string[]} path @returns {string[] | undefined} a cycle */
  const cycleFrom = (file, path) => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const next of graph.get(file) ?? []) {
      const cycle = cycleFrom(next, [...path, file]);
      if (cycle) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of graph.keys()) assert.equal(cycleFrom(file, [])?.join(" → "), undefined);
});
