import { LorafoldError } from "./errors.js";
import { initSync, limitMemory } from "./lorafold.js";
import { platform } from "./platform.js";

/** The WebAssembly of this thread. */
export interface Engine {
  /** To be posted to workers: compiled once. */
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

let loading: Promise<Engine> | undefined;

/** The module, loaded once and instantiated in this thread. */
export function engine(): Promise<Engine> {
  // Without a platform this rejects, rather than throws in the middle of its caller's other promises.
  loading ??= Promise.resolve()
    .then(() => platform().loadWasm())
    .then((module) => {
      const { memory } = initSync({ module });
      limitMemory(platform().memoryBytes ?? Number.POSITIVE_INFINITY);
      return { module, memory };
    })
    .catch((error: unknown) => {
      // A failed download can be tried again.
      loading = undefined;
      if (!(error instanceof WebAssembly.LinkError)) throw error;
      throw new LorafoldError("bad-option", `this WebAssembly belongs to another version of lorafold: ${error.message}`, { detail: error });
    });
  return loading;
}
