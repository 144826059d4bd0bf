import { LorafoldError } from "./errors.js";
import { initSync, limitMemory } from "./lorafold.js";
import type { Platform } from "./platform.js";

/** The WebAssembly of this thread. */
export interface Engine {
  /** To be posted to workers: compiled once. */
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

/**
 * Load the module of a platform and instantiate it in this thread. The generated glue keeps one instance for each thread: where another context has
 * made it already, this gives the same one, and a limit of its memory holds for both.
 *
 * @throws {LorafoldError} `bad-option` where the module is of another version, and whatever `loadWasm` throws.
 */
export async function loadEngine({ loadWasm, memoryBytes }: Platform): Promise<Engine> {
  const module = await loadWasm();
  try {
    const { memory } = initSync({ module });
    if (memoryBytes !== undefined) limitMemory(memoryBytes);
    return { module, memory };
  } catch (error) {
    if (!(error instanceof WebAssembly.LinkError)) throw error;
    throw new LorafoldError("bad-option", `this WebAssembly belongs to another version of lorafold: ${error.message}`, { detail: error });
  }
}
