import module from "./lorafold_bg.wasm";
import { createContext } from "./context.js";
import { setDefaultContext } from "./default-context.js";
import { EDGE_LIMITS } from "./edge-limits.js";

/** The entry point of workerd (Cloudflare Workers), which imports WebAssembly compiled. It is instantiated when first needed. */
setDefaultContext(
  createContext({
    ...EDGE_LIMITS,
    async loadWasm() {
      // Where a deployment has left it out, only what needs it fails.
      const rest = await import("./lorafold_rest.wasm").catch(() => undefined);
      return { module, rest: rest?.default };
    },
  }),
);

export * from "./edge.js";
