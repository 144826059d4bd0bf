// @ts-check
// What the page says of options is said in its own words: nobody sees flags and names of the API there.
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { build } from "vite";
import { root } from "../setup/tools.mjs";
import { scratch } from "./scratch.mjs";

/** @type {{ inPageWords: (text: string) => string, WORDS: readonly [RegExp, string][] }} */
let words;
/** @type {{ sentence: (report: any, method?: string) => string, whatToDo: (report: any) => string[], reason: (tensor: any) => string }} */
let verdicts;
/** @type {{ readLink: (query: string) => { mode: string, base?: string, merged?: string, adapters: any[] }, writeLink: (query: string, shown: any, known: string[]) => string }} */
let link;

before(async (t) => {
  const folder = await scratch(/** @type {any} */ (t));
  for (const name of ["words", "deep-link", "verdict-words"]) {
    const bundled = /** @type {any} */ (await build({
      configFile: false, logLevel: "silent", root: join(root, "www"),
      build: { write: false, minify: false, lib: { entry: join(root, "www", "src", `${name}.ts`), formats: ["es"] } },
    }));
    await writeFile(join(folder, `${name}.mjs`), bundled[0].output[0].code);
  }
  words = await import(pathToFileURL(join(folder, "words.mjs")).href);
  verdicts = await import(pathToFileURL(join(folder, "verdict-words.mjs")).href);
  link = await import(pathToFileURL(join(folder, "deep-link.mjs")).href);
});

/** Names of options, as the package and the command line have them; those of other programs begin with the program's. */
const OPTION = /\b(allow(Unmatched|Unmerged|Nonfinite)|residualBase|outProj|expertPacking|maxShardSize|HF_TOKEN)\b|--(allow|token|dtype|skip|only|tokenizer|tied|vocabulary)/;

/** Lines that are no sentence for a user: names of fields, other programs' flags, what is said on the command line alone; what makes adapters, which the page does not. */
const ELSEWHERE = /^(src[\\/](native|wasm|schema|factors|plan[\\/](options|recipe|adapter)\.rs)|pkg-templates[\\/]src[\\/](cli|node|schema|options|prepare|hub-node|types))/;

/** Texts of the code that people may read, and where they stand, from the folders whose errors the page shows. */
async function literals() {
  const found = [];
  for (const folder of ["src", join("pkg-templates", "src")]) {
    for (const name of await readdir(join(root, folder), { recursive: true, encoding: "utf8" })) {
      const path = join(folder, name);
      if (!/\.(rs|ts)$/.test(name) || /tests?\.rs$/.test(name)) continue;
      const [code = ""] = (await readFile(join(root, path), "utf8")).split("#[cfg(test)]");
      // A text of Rust goes on in the next line after a backslash.
      for (const line of code.replace(/\\\n\s*/g, "").split("\n")) {
        if (/^\s*(\/\/|\*|\/\*)/.test(line)) continue;
        for (const [quoted] of line.matchAll(/"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`/g)) found.push({ path, plain: quoted.slice(1, -1).replace(/\\"/g, '"') });
      }
    }
  }
  return found;
}

test("no sentence that the page shows has the name of an option", async () => {
  const named = (await literals()).filter(({ path, plain }) => !ELSEWHERE.test(path) && OPTION.test(plain));
  const found = named.map(({ path, plain }) => `${path}: ${words.inPageWords(plain)}`).filter((said) => OPTION.test(said));
  assert.ok(named.length > 4, "the sentences are not where they were looked for");
  assert.deepEqual(found, []);
});

test("each text that the page has other words for is said somewhere", async () => {
  const said = await literals();
  const unsaid = words.WORDS.filter(([theirs]) => !said.some(({ plain }) => plain.search(theirs) >= 0)).map(([theirs]) => String(theirs));
  assert.deepEqual(unsaid, []);
});

test("what a sentence says besides stays", () => {
  assert.equal(words.inPageWords("use a smaller weight or a wider dtype, or allow such values (allowNonfinite)"), "use a smaller weight or a wider number type");
  assert.equal(words.inPageWords("merge where it was trained, or allow it: --allow-unmerged, allowUnmerged: true"), "merge where it was trained");
  assert.equal(words.inPageWords("option method: slerp lies between two adapters; give two, or take karcher"), "“Method”: slerp lies between two adapters; give two, or take the method “Karcher mean”");
  assert.equal(words.inPageWords('adapter style: option weights: "x" matches nothing'), 'adapter style: “Weights by module”: "x" matches nothing');
  assert.equal(words.inPageWords("a tensor of shape [4, 4]"), "a tensor of shape [4, 4]");
});

test("a link says what was picked, and can be read again", () => {
  const read = (/** @type {string} */ query) => link.readLink(query);
  const adapter = (/** @type {string | undefined} */ address, weight = 1, more = {}) => ({ picked: { address }, weight, density: "all", alpha: "own", settings: {}, ...more });
  const write = (/** @type {string} */ query, shown = {}) => link.writeLink(query, { mode: "merge", adapters: [], options: [], ...shown }, ["dtype", "method"]);
  for (const [address, weight, query] of /** @type {[string, number, string][]} */ ([
    ["hf://org/name", 1, "?adapter=org/name"],
    ["hf://org/name@v1", 0.8, "?adapter=org/name@v1@0.8"],
    // A revision that looks like a weight.
    ["hf://org/name@2", 1, "?adapter=org/name@2@1"],
    ["hf://org/name/sub%20folder@main", -0.5, "?adapter=hf://org/name/sub%2520folder@main@-0.5"],
    ["https://example.org/a&b/adapter", 1e-7, "?adapter=https://example.org/a%26b/adapter@1e-7"],
  ])) {
    assert.equal(write("", { adapters: [adapter(address, weight)] }), query);
    const [again] = read(query).adapters;
    assert.deepEqual({ ...again, address: again.address.replace(/^(?=org)/, "hf://") }, { address, weight });
  }
  assert.equal(write("?sample&lang=en", { base: { address: "hf://org/base" } }), "?base=org/base&lang=en");
  // Files of this machine have no address.
  assert.equal(write("?base=org/base&sample", { base: {}, adapters: [adapter(undefined)] }), "?sample");
  // All that is said of an adapter comes behind it, and is read so; another one's is not.
  const settings = { weights: [{ match: "a=b&c", weight: 0.5 }, { layers: "0-7", weight: -1 }], blockWeights: "MIDD", only: ["q|v", "k"], skip: ["layers\\.0"], adapter: "x", residualBase: true, outProj: "once", expertPacking: "expert" };
  const all = write("?dtype=float16&mode=verify", {
    mode: "verify", base: { address: "hf://org/base" }, merged: { address: "hf://org/merged@v1" }, options: [["method", "ties"]],
    adapters: [adapter("hf://org/a", 1, { density: 0.3, alpha: 8, settings }), adapter("hf://org/b", 0.5)],
  });
  const found = read(all);
  assert.deepEqual(found.adapters, [{ address: "org/a", weight: 1, density: 0.3, alpha: 8, settings }, { address: "org/b", weight: 0.5 }]);
  assert.deepEqual([found.mode, found.base, found.merged], ["verify", "org/base", "org/merged@v1"]);
  assert.match(all, /^\?mode=verify&base=org\/base&adapter=org\/a@1:density=0\.3&alpha=8&weights=/);
  assert.match(all, /&merged=org\/merged@v1&method=ties$/);
  // A density that is none, and what is said before any adapter, is nobody's.
  assert.deepEqual(read("?weights=mlp%3D1&adapter=org/a@0.5:density=x").adapters, [{ address: "org/a", weight: 0.5 }]);
});

test("why a merge cannot be told is said, and by which method it should be", () => {
  const report = (/** @type {string} */ verdict, /** @type {string[][]} */ ...tensors) => ({
    verdict, merged: "m", base: "b", adapters: [{ name: "x", weight: 1 }, { name: "y", weight: -0.5 }], instead: [],
    tensors: tensors.map((all) => ({ name: "t", verdict, elements: 4, instead: all.map((what) => ({ what })) })),
  });
  const expected = "b + 1 × x − 0.5 × y";
  assert.equal(verdicts.sentence(report("bits"), "linear"), `Yes: m is ${expected}, in every bit.`);
  assert.equal(verdicts.sentence(report("bits"), "ties"), `Yes: m is ${expected} by “TIES”, in every bit.`);
  // Another program's random numbers: no wider type helps there.
  const mask = report("undecidable", ["other-mask"], []);
  assert.match(verdicts.sentence(mask, "dare_linear"), /^It cannot be told: m may be .* by “DARE”\. It keeps other random values of the changes, as many as it should\.$/);
  assert.ok(verdicts.whatToDo(mask).every((todo) => /seed/.test(todo) && !/float32/.test(todo)));
  const small = report("undecidable", ["not-applied"]);
  assert.match(verdicts.sentence(small), /smaller than the steps of the number type of m/);
  assert.match(verdicts.whatToDo(small).join(), /float32/);
  assert.match(verdicts.sentence(report("undecidable", ["twice"])), /may be something else\.$/);
  assert.match(verdicts.reason({ verdict: "different", elements: 4, instead: [{ what: "other-density", adapter: "x", factor: [0.25, 0.5] }] }), /^x was pruned to another share \(0\.25 to 0\.5\)$/);
});

test("the page has words for everything that a tensor may be instead", async () => {
  const [, listed = ""] = /const MEANS: Record<string, string> = \{\n([^]*?)\n\};/.exec(await readFile(join(root, "pkg-templates", "src", "cli", "verify.ts"), "utf8")) ?? [];
  const names = [...listed.matchAll(/^ {2}"?([\w-]+)"?:/gm)].map(([, name = ""]) => name);
  assert.ok(names.length > 20, names.join(", "));
  const unsaid = names.filter((what) => verdicts.reason({ verdict: "different", elements: 4, instead: [{ what, adapter: "x" }] }) === `x ${what}` && what !== "missing");
  assert.deepEqual(unsaid, []);
});
