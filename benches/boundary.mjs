// What it costs to bring values from WebAssembly to JavaScript: field by field (serde-wasm-bindgen) and by JSON text, in turn in one run.
//
//   node benches/boundary.mjs [--rounds N]
//
// It builds the module with the feature `bench`. The model has 10,000 tensors, each changed by an adapter, and exists only as headers.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { compile, optimise, run } from "../pkg-templates/wasm.mjs";
import { bindgenBuilt } from "../tests/setup/bindgen.mjs";
import { median } from "./timing.mjs";

const { values: options } = parseArgs({ options: { rounds: { type: "string", default: "31" } } });
const TENSORS = 10_000;
const SIDE = 64;
const BLOCK = 4096;

async function load() {
  const folder = mkdtempSync(join(tmpdir(), "lorafold-boundary-"));
  try {
    run(await bindgenBuilt("bindgen"), [compile(["bench"]), folder]);
    const wasm = join(folder, "lorafold_bg.wasm");
    optimise(wasm, wasm);
    const glue = await import(pathToFileURL(join(folder, "lorafold.js")).href);
    glue.initSync({ module: readFileSync(wasm) });
    return glue;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A safetensors file of float16 tensors, all zero. */
function weights(shapes) {
  let end = 0;
  const tensors = Object.entries(shapes).map(([name, shape]) => {
    const start = end;
    end += 2 * shape[0] * shape[1];
    return [name, { dtype: "F16", shape, data_offsets: [start, end] }];
  });
  const json = Buffer.from(JSON.stringify(Object.fromEntries(tensors)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return new Blob([length, json, new Uint8Array(end)]);
}

async function openPlan({ Plan }) {
  const modules = Array.from({ length: TENSORS }, (_, i) => `model.layers.${i >> 3}.mlp.part_${i & 7}`);
  const base = weights(Object.fromEntries(modules.map((name) => [`${name}.weight`, [SIDE, SIDE]])));
  const factors = modules.flatMap((name) => [
    [`base_model.model.${name}.lora_A.weight`, [1, SIDE]],
    [`base_model.model.${name}.lora_B.weight`, [SIDE, 1]],
  ]);
  const adapter = weights(Object.fromEntries(factors));
  const config = new Blob([JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1, target_modules: Array.from({ length: 8 }, (_, i) => `part_${i}`) })]);
  const inputs = Object.entries({ "model.safetensors": base, "adapter_config.json": config, "adapter_model.safetensors": adapter });
  const files = inputs.map(([name, { size }]) => ({ name, size }));
  const request = { base: { name: "base", files: files.slice(0, 1) }, adapters: [{ folder: { name: "adapter", files: files.slice(1) }, options: {} }], options: {} };
  return Plan.open(request, inputs.map(([name, blob]) => ({ name, blob })));
}

const glue = await load();
const plan = await openPlan(glue);
const cases = {
  "5,000 pieces": (asText) => plan.benchPieces(asText, BLOCK, 5000),
  "a report of 10,000 tensors": (asText) => plan.benchReport(asText),
};
for (const [what, cross] of Object.entries(cases)) {
  const times = { fields: [], text: [] };
  if (JSON.stringify(cross(false)) !== JSON.stringify(cross(true))) throw new Error(`${what}: the two ways differ`);
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const way of ["fields", "text"]) {
      const start = performance.now();
      cross(way === "text");
      times[way].push(performance.now() - start);
    }
  }
  const [fields, text] = [median(times.fields), median(times.text)];
  console.log(`${what}: field by field ${fields.toFixed(2)} ms, as text ${text.toFixed(2)} ms, ratio ${(fields / text).toFixed(2)}`);
}
