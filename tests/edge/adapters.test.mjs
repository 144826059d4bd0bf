// @ts-check
// What the variable ADAPTERS of the edge template may hold.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { build } from "esbuild";
import { root } from "./isolate.mjs";

const { outputFiles } = await build({ entryPoints: [join(root, "pkg-templates", "edge", "src", "adapters.ts")], bundle: true, format: "esm", write: false });
const { adaptersOf } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);

test("adapters are sources, or objects with one", () => {
  assert.deepEqual(adaptersOf('["r2:adapters/mine", { "source": "hf://org/lora", "weight": 0.5 }]'), [{ source: "r2:adapters/mine" }, { source: "hf://org/lora", weight: 0.5 }]);
  assert.deepEqual(adaptersOf("[]"), []);
});

test("whatever else is an error that names the variable", () => {
  assert.throws(() => adaptersOf("{"), /^Error: ADAPTERS: not JSON \(.*\); give an array such as /);
  assert.throws(() => adaptersOf("{}"), /^Error: ADAPTERS: not an array; /);
  for (const wrong of ["5", "null", "{}", '{ "source": 5 }', '{ "path": "r2:adapters/mine" }']) assert.throws(() => adaptersOf(`["a", ${wrong}]`), /^Error: ADAPTERS: number 2 has no source; /);
});
