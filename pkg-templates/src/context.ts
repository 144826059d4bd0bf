import { type Engine, loadEngine } from "./engine.js";
import type { Platform } from "./platform.js";

/** What the functions of the API work with. Every entry point makes one and hands it down; nothing below reads a global. */
export interface Context {
  readonly platform: Platform;
  /** The WebAssembly of this thread. The first call loads it, later ones get the same; after a failure the next call tries again. */
  readonly engine: () => Promise<Engine>;
}

export function createContext(platform: Platform): Context {
  let loading: Promise<Engine> | undefined;
  return {
    platform,
    engine() {
      loading ??= loadEngine(platform).catch((error: unknown) => {
        // A failed download can be tried again.
        loading = undefined;
        throw error;
      });
      return loading;
    },
  };
}
