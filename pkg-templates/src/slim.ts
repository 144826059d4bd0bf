/**
 * The API for callers who load the WebAssembly and start the workers themselves.
 *
 * @module lorafold/slim
 */
import { initializeDefault, type RestSource } from "./default-context.js";
import type { Worker } from "./globals.js";
import { checkOptions, type Names } from "./options.js";
import type { WasmSource } from "./wasm-source.js";
import { webPort } from "./workers/web-port.js";

/** What {@link initialize} may be given beside the WebAssembly. */
export interface InitializeOptions {
  /** Start a worker (`type: "module"`) whose script is `lorafold/worker`. Without it, the calling thread plans and merges. */
  startWorker?: () => Worker;
  /**
   * The second half of the WebAssembly (`lorafold/lorafold_rest.wasm`), without which rare methods and files fail with `bad-option`. Given its address, a
   * browser loads it when it is needed.
   */
  rest?: RestSource;
}

const INITIALIZE_OPTIONS: Names<InitializeOptions> = { startWorker: true, rest: true };

/**
 * Give lorafold its WebAssembly (`lorafold/lorafold_bg.wasm`): compiled, its bytes, or the response of a request for them. Call this once,
 * before anything else; calls that follow at once wait for it. Libraries leave it to the program, which may import `lorafold` instead.
 *
 * @throws {LorafoldError} `bad-option` if it is something else, `fetch-failed` if it is the response of a request that failed.
 */
export async function initialize(wasm: WasmSource | Promise<WasmSource>, options: InitializeOptions = {}): Promise<void> {
  checkOptions("initialize", options, INITIALIZE_OPTIONS);
  const { startWorker, rest } = options;
  return initializeDefault(wasm, rest, {
    processors: () => globalThis.navigator?.hardwareConcurrency || 1,
    ...(startWorker && { startWorker: () => webPort(startWorker()), plansInWorker: true }),
  });
}

export type { RestSource } from "./default-context.js";
export type { WasmSource } from "./wasm-source.js";
export { combine, extract, inspect, merge, openMerged, plan, repeat, unmerge, verify } from "./default-api.js";
export { LorafoldError, type ErrorCode, type ErrorFacts, type ErrorKind } from "./errors.js";
export type { Api } from "./api.js";
export type * from "./types.js";
