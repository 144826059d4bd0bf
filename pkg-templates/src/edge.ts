/**
 * The API for edge functions: without workers, and with nothing of Node.
 *
 * @module lorafold/edge
 */
import { EDGE } from "./edge-platform.js";
import { bringWasm, type WasmSource } from "./wasm-source.js";

/**
 * Give lorafold its WebAssembly (`lorafold/lorafold_bg.wasm`), compiled where the runtime itself compiles nothing. Once, before
 * anything else; what is called meanwhile waits for it. workerd needs no such call: there the import brings it.
 *
 * @throws {LorafoldError} `bad-option` if it is something else, `fetch-failed` if it is an answer that says so.
 */
export function initialize(wasm: WasmSource | Promise<WasmSource>): Promise<void> {
  return bringWasm(wasm, EDGE);
}

export type { WasmSource } from "./wasm-source.js";
export { r2Source, type R2BucketLike, type R2ObjectLike } from "./sources/r2.js";
export * from "./api.js";
