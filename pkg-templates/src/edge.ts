/**
 * The API for edge functions: without workers, and with nothing of Node.
 *
 * @module lorafold/edge
 */
import { initializeDefault } from "./default-context.js";
import { EDGE_LIMITS } from "./edge-limits.js";
import { optionError } from "./errors.js";
import type { WasmSource } from "./wasm-source.js";

/**
 * Give lorafold its WebAssembly (`lorafold/lorafold_bg.wasm`). Runtimes that compile nothing themselves need it compiled. Call this once, before
 * anything else; calls that follow at once wait for it. workerd needs no such call: there the import includes it.
 *
 * @throws {LorafoldError} `bad-option` if it is something else, `fetch-failed` if it is the response of a request that failed.
 */
export async function initialize(wasm: WasmSource | Promise<WasmSource>, options: Record<string, never> = {}): Promise<void> {
  for (const name in options) throw optionError(name, "at the edge initialize takes no options, for there are no workers");
  return initializeDefault(wasm, EDGE_LIMITS);
}

export type { WasmSource } from "./wasm-source.js";
export { r2Source, type R2BucketLike, type R2ObjectLike } from "./sources/r2.js";
export { combine, extract, inspect, merge, openMerged, plan } from "./default-api.js";
export { LorafoldError, type ErrorCode, type ErrorFacts, type ErrorKind } from "./errors.js";
export type { Api } from "./api.js";
export type * from "./types.js";
