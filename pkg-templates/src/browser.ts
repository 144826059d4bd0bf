/**
 * The API wherever the import of `lorafold` brings the WebAssembly and the workers along: in Node, in browsers, through bundlers.
 *
 * @module lorafold
 */
import { usePlatform } from "./platform.js";
import { compile } from "./wasm-source.js";
import { webPort } from "./workers/web-port.js";

// The entry point of browsers and bundlers; Node has its own.
usePlatform({
  loadWasm: () => compile(fetch(new URL("./lorafold_bg.wasm", import.meta.url))),
  startWorker: () => webPort(new Worker(new URL("./workers/browser-worker.js", import.meta.url), { type: "module" })),
  startWriter: () => new Worker(new URL("./workers/opfs-worker.js", import.meta.url), { type: "module" }),
  processors: () => navigator.hardwareConcurrency || 1,
});

export * from "./api.js";
