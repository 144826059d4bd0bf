/**
 * The API wherever the import of `lorafold` includes the WebAssembly and the workers: in Node, in browsers, through bundlers.
 *
 * @module lorafold
 */
import { type Api, createApi } from "./api.js";
import { createContext } from "./context.js";
import { setDefaultContext } from "./default-context.js";
import { fileError, LorafoldError } from "./errors.js";
import { compile } from "./wasm-source.js";
import { webPort } from "./workers/web-port.js";

// For browsers and bundlers; Node has an entry point of its own.
const context = createContext({
  async loadWasm() {
    // Loaded by the thread that needs it.
    const rest = new URL("./lorafold_rest.wasm", import.meta.url).href;
    return { module: await compile(download(new URL("./lorafold_bg.wasm", import.meta.url))), rest };
  },
  startWorker: () => webPort(permitted(() => new Worker(new URL("./workers/browser-worker.js", import.meta.url), { type: "module" }))),
  plansInWorker: true,
  startWriter: () => permitted(() => new Worker(new URL("./workers/opfs-worker.js", import.meta.url), { type: "module" })),
  processors: () => navigator.hardwareConcurrency || 1,
});
setDefaultContext(context);

async function download(url: URL): Promise<Response> {
  try {
    return await fetch(url);
  } catch (error) {
    const reason = `lorafold's WebAssembly could not be loaded (${(error as Error).message})`;
    throw fileError("fetch-failed", url.href, reason, { fix: "check the connection and try again", detail: error });
  }
}

/** The constructor throws at once where the script is another origin's or the page's policy forbids it. */
function permitted(start: () => Worker): Worker {
  try {
    return start();
  } catch (error) {
    const fix = "serve lorafold's files from the page's own origin, and let its policy (worker-src) allow them";
    throw new LorafoldError("fetch-failed", `a worker could not be started (${(error as Error).message}); ${fix}`, { fix, detail: error });
  }
}

const api = createApi(() => context);

/** {@inheritDoc Api.inspect} @function */
export const inspect: Api["inspect"] = api.inspect;
/** {@inheritDoc Api.combine} @function */
export const combine: Api["combine"] = api.combine;
/** {@inheritDoc Api.extract} @function */
export const extract: Api["extract"] = api.extract;
/** {@inheritDoc Api.merge} @function */
export const merge: Api["merge"] = api.merge;
/** {@inheritDoc Api.openMerged} @function */
export const openMerged: Api["openMerged"] = api.openMerged;
/** {@inheritDoc Api.repeat} @function */
export const repeat: Api["repeat"] = api.repeat;
/** {@inheritDoc Api.plan} @function */
export const plan: Api["plan"] = api.plan;
/** {@inheritDoc Api.unmerge} @function */
export const unmerge: Api["unmerge"] = api.unmerge;
/** {@inheritDoc Api.verify} @function */
export const verify: Api["verify"] = api.verify;

export { LorafoldError, type ErrorCode, type ErrorFacts, type ErrorKind } from "./errors.js";
export type { Api } from "./api.js";
export type * from "./types.js";
