import type { Platform } from "./platform.js";

/**
 * What an isolate of 128 MB has room for: half of it is WebAssembly's, which holds a block and packed factors; the other half holds the
 * adapters, the code, and the blocks that are on their way.
 */
export const EDGE_LIMITS: Omit<Platform, "loadWasm"> = {
  processors: () => 1,
  memoryBytes: 64 << 20,
  factorBytes: 24 << 20,
  blockBytes: 512 << 10,
  adapterBytes: 32 << 20,
};
