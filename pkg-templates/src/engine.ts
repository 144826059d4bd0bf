import { LorafoldError } from "./errors.js";
import { initSync, limitMemory } from "./lorafold.js";
import type { Platform } from "./platform.js";

/** What to do where the two do not fit. */
const SAME = "load both from the same release: a cache may hold an older file";

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
 * @throws {LorafoldError} `internal` where the module is of another version, and whatever `loadWasm` throws.
 */
export async function loadEngine({ loadWasm, memoryBytes }: Platform): Promise<Engine> {
  const module = await loadWasm();
  try {
    const { memory } = initSync({ module });
    if (memoryBytes !== undefined) limitMemory(memoryBytes);
    return { module, memory };
  } catch (error) {
    if (!(error instanceof WebAssembly.LinkError)) throw error;
    throw new LorafoldError("internal", `lorafold's WebAssembly and JavaScript are of different versions (${error.message}); ${SAME}`, { fix: SAME, detail: error });
  }
}
