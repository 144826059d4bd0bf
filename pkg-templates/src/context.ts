import { type Engine, instantiate, type Wasm } from "./engine.js";
import type { Platform } from "./platform.js";

/** What the functions of the API work with. An entry point makes one, or its `initialize` does, and hands it down; nothing below reads a global. */
export interface Context {
  readonly platform: Platform;
  /** The WebAssembly of this thread. The first call loads the module; after a failure the next call tries again. A broken instance is replaced. */
  readonly engine: () => Promise<Engine>;
}

export function createContext(platform: Platform): Context {
  let loading: Promise<Wasm> | undefined;
  return {
    platform,
    engine() {
      loading ??= platform.loadWasm().catch((error: unknown) => {
        // A failed download can be tried again.
        loading = undefined;
        throw error;
      });
      return loading.then((wasm) => instantiate(wasm, platform.memoryBytes));
    },
  };
}
