import { usePlatform } from "./platform.js";
import type { Port } from "./workers/protocol.js";

/** The entry point of browsers and bundlers. */
usePlatform({
  async loadWasm() {
    const response = fetch(new URL("./lorafold_bg.wasm", import.meta.url));
    // Some servers do not know the type of .wasm files, which streaming compilation insists on.
    return WebAssembly.compileStreaming(response).catch(async () => WebAssembly.compile(await (await fetch((await response).url)).arrayBuffer()));
  },
  startWorker,
  startWriter: () => new Worker(new URL("./workers/opfs-worker.js", import.meta.url), { type: "module" }),
  processors: () => navigator.hardwareConcurrency || 1,
});

function startWorker(): Port {
  const worker = new Worker(new URL("./workers/browser-worker.js", import.meta.url), { type: "module" });
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (handler) => worker.addEventListener("message", (event) => handler(event.data as never)),
    onError: (handler) => worker.addEventListener("error", (event) => handler(event.error ?? new Error(event.message || "a worker could not be started"))),
    terminate: () => worker.terminate(),
  };
}

export * from "./api.js";
