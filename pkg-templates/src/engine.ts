import { isAlive } from "./calls.js";
import { LorafoldError } from "./errors.js";
import { __wbg_reset_state as replaceInstance, initSync, limitMemory } from "./lorafold.js";
import { currentRest, type Rest, restIs } from "./rest.js";

/** What to do where the two do not fit. */
const SAME = "load both from the same release: a cache may hold an older file";

/** lorafold's WebAssembly: what is loaded first, compiled, and where the rest is. Without the rest, a call that needs it fails. */
export interface Wasm {
  module: WebAssembly.Module;
  rest?: Rest | undefined;
}

/** The WebAssembly of this thread. */
export interface Engine extends Wasm {
  memory: WebAssembly.Memory;
}

/**
 * The instance of this thread: the generated glue keeps one, whichever context asks. One that is broken is replaced; what it held is lost.
 * `memoryBytes`: the most memory it may take, where that is limited.
 *
 * @throws {LorafoldError} `internal` where the module is of another version.
 */
export function instantiate({ module, rest }: Wasm, memoryBytes?: number): Engine {
  try {
    if (!isAlive(initSync({ module }).memory)) replaceInstance();
    const { memory } = initSync({ module });
    restIs(rest);
    if (memoryBytes !== undefined) limitMemory(memoryBytes);
    return { module, rest: currentRest(), memory };
  } catch (error) {
    if (!(error instanceof WebAssembly.LinkError)) throw error;
    throw new LorafoldError("internal", `lorafold's WebAssembly and JavaScript are of different versions (${error.message}); ${SAME}`, { fix: SAME, detail: error });
  }
}
