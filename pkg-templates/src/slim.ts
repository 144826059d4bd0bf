/**
 * The API for those who bring the WebAssembly and the workers.
 *
 * @module lorafold/slim
 */
import type { Worker } from "./globals.js";
import { bringWasm, type WasmSource } from "./wasm-source.js";
import { webPort } from "./workers/web-port.js";

/** What lorafold may use beside its WebAssembly. */
export interface Brought {
  /** Start a worker (`type: "module"`) whose script is `lorafold/worker`. Without it, merges run in the calling thread. */
  startWorker?: () => Worker;
}

/**
 * Give lorafold its WebAssembly (`lorafold/lorafold_bg.wasm`): compiled, its bytes, or the answer to a request for them. Once, before
 * anything else; what is called meanwhile waits for it. Libraries leave it to the program, which may just as well import `lorafold`.
 *
 * @throws {LorafoldError} `bad-option` if it is something else, `fetch-failed` if it is an answer that says so.
 */
export function initialize(wasm: WasmSource | Promise<WasmSource>, { startWorker }: Brought = {}): Promise<void> {
  return bringWasm(wasm, {
    processors: () => globalThis.navigator?.hardwareConcurrency || 1,
    ...(startWorker && { startWorker: () => webPort(startWorker()) }),
  });
}

export type { WasmSource } from "./wasm-source.js";
export * from "./api.js";
