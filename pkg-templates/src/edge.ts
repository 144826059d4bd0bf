/**
 * The API for edge functions: without workers, and with nothing of Node.
 *
 * @module lorafold/edge
 */
import { initializeDefault, type RestSource } from "./default-context.js";
import { EDGE_LIMITS } from "./edge-limits.js";
import { checkOptions, type Names } from "./options.js";
import type { WasmSource } from "./wasm-source.js";

/** What {@link initialize} may be given beside the WebAssembly. */
export interface InitializeOptions {
  /** The second half of it (`lorafold/lorafold_rest.wasm`), without which rare methods and files fail with `bad-option`. */
  rest?: RestSource;
}

const INITIALIZE_OPTIONS: Names<InitializeOptions> = { rest: true };

/**
 * Give lorafold its WebAssembly (`lorafold/lorafold_bg.wasm`). Runtimes that compile nothing themselves need it compiled. Call this once, before
 * anything else; calls that follow at once wait for it. workerd needs no such call: there the import includes it.
 *
 * @throws {LorafoldError} `bad-option` if it is something else, `fetch-failed` if it is the response of a request that failed.
 */
export async function initialize(wasm: WasmSource | Promise<WasmSource>, options: InitializeOptions = {}): Promise<void> {
  checkOptions("initialize", options, INITIALIZE_OPTIONS);
  return initializeDefault(wasm, options.rest, EDGE_LIMITS);
}

export type { RestSource } from "./default-context.js";
export type { WasmSource } from "./wasm-source.js";
export { r2Source, type R2BucketLike, type R2ObjectLike } from "./sources/r2.js";
export { combine, extract, inspect, merge, openMerged, plan, repeat, unmerge, verify } from "./default-api.js";
export { LorafoldError, type ErrorCode, type ErrorFacts, type ErrorKind } from "./errors.js";
export type { Api } from "./api.js";
export type * from "./types.js";
