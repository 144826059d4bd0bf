import wasm from "./lorafold_bg.wasm";
import { createContext } from "./context.js";
import { setDefaultContext } from "./default-context.js";
import { EDGE_LIMITS } from "./edge-limits.js";

/** The entry point of workerd (Cloudflare Workers), which imports WebAssembly compiled. It is instantiated when first needed. */
setDefaultContext(createContext({ ...EDGE_LIMITS, loadWasm: async () => wasm }));

export * from "./edge.js";
