/**
 * The API wherever the import of `lorafold` brings the WebAssembly and the workers along: in Node, in browsers, through bundlers.
 *
 * @module lorafold
 */
import { LorafoldError } from "./errors.js";
import { usePlatform } from "./platform.js";
import { compile } from "./wasm-source.js";
import { webPort } from "./workers/web-port.js";

// The entry point of browsers and bundlers; Node has its own.
usePlatform({
  loadWasm: () => compile(download(new URL("./lorafold_bg.wasm", import.meta.url))),
  startWorker: () => webPort(permitted(() => new Worker(new URL("./workers/browser-worker.js", import.meta.url), { type: "module" }))),
  startWriter: () => permitted(() => new Worker(new URL("./workers/opfs-worker.js", import.meta.url), { type: "module" })),
  processors: () => navigator.hardwareConcurrency || 1,
});

async function download(url: URL): Promise<Response> {
  try {
    return await fetch(url);
  } catch (error) {
    const message = `${url}: lorafold's WebAssembly could not be loaded (${(error as Error).message}): check the connection and try again`;
    throw new LorafoldError("fetch-failed", message, { detail: error });
  }
}

/** The constructor throws at once where the script is another origin's or the page's policy forbids it. */
function permitted(start: () => Worker): Worker {
  try {
    return start();
  } catch (error) {
    const message = `a worker could not be started (${(error as Error).message}): serve lorafold's files from the page's own origin, and let its policy (worker-src) allow them`;
    throw new LorafoldError("fetch-failed", message, { detail: error });
  }
}

export * from "./api.js";
