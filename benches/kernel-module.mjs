// @ts-check
// The kernel as a module of its own, with the exports of src/kernel/bench.rs.
import { readFileSync } from "node:fs";
import { compile, optimise } from "../pkg-templates/wasm.mjs";

/** Build it as the package's module is built. The file that it is in. */
export function buildKernel() {
  const wasm = compile(["bench"]);
  optimise(wasm, `${wasm}.optimised`);
  return `${wasm}.optimised`;
}

/** @param {string} file @returns {Record<string, any>} */
export function instantiateKernel(file) {
  const module = new WebAssembly.Module(readFileSync(file));
  /** @type {WebAssembly.Imports} */
  const imports = {};
  // Its other imports belong to parts that a benchmark does not call.
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = kind === "function" ? () => 0 : new WebAssembly.Table({ initial: 1024, element: "externref" });
  }
  return new WebAssembly.Instance(module, imports).exports;
}
