import wasm from "./lorafold_bg.wasm";
import { EDGE } from "./edge-platform.js";
import { usePlatform } from "./platform.js";

/** The entry point of workerd (Cloudflare Workers), which imports WebAssembly compiled. It is instantiated when first needed. */
usePlatform({ ...EDGE, loadWasm: async () => wasm });

export * from "./edge.js";
