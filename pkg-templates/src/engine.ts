import { initSync } from "./lorafold.js";
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
  loading ??= platform()
    .loadWasm()
    .then((module) => ({ module, memory: initSync({ module }).memory }))
    .catch((error: unknown) => {
      // A failed download can be tried again.
      loading = undefined;
      throw error;
    });
  return loading;
}
