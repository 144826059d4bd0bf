import wasm from "./lorafold_bg.wasm";
import { usePlatform } from "./platform.js";

/** The entry point of workerd (Cloudflare Workers), which imports WebAssembly compiled. It is instantiated when first needed. */
usePlatform({ loadWasm: async () => wasm, processors: () => 1 });

export * from "./edge.js";
