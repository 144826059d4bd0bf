// @ts-check
// What the benchmark asks of the page. Each gives milliseconds.
// @ts-ignore: served beside this page
import { merge } from "/pkg/browser.js";
import { byHandles, byStreams, toBlobs } from "./copies.mjs";

/** @param {string} id */
const chosen = (id) => [.../** @type {FileList} */ (/** @type {HTMLInputElement} */ (document.getElementById(id)).files)];

/** @param {() => Promise<unknown>} action */
async function timed(action) {
  const started = performance.now();
  const kept = await action();
  const took = performance.now() - started;
  // Not before the clock stops: results that nobody holds could be dropped while they are made.
  void kept;
  return took;
}

/** Imports that do nothing: nothing is called. @param {WebAssembly.Module} module */
function nothing(module) {
  /** @type {Record<string, Record<string, any>>} */
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
  return imports;
}

/** Memory and disk that earlier results hold are free again before the next is timed. */
async function forget() {
  const root = await navigator.storage.getDirectory();
  // @ts-ignore: newer than the types
  for await (const name of root.keys()) await root.removeEntry(name, { recursive: true });
  // @ts-ignore: the browser was started with it
  for (let turn = 0; turn < 3; turn++) await (globalThis.gc?.(), new Promise((go) => setTimeout(go, 100)));
}

async function copyFolder() {
  return (await navigator.storage.getDirectory()).getDirectoryHandle("copy", { create: true });
}

const bench = {
  forget,

  /** @param {"blob" | "opfs"} output @param {object} [options] */
  merge: (output, options = {}) => timed(() => merge({ base: chosen("base"), adapters: [chosen("adapter")], output, statistics: false, ...options })),

  /** @param {boolean} all @param {number} atOnce */
  copyToBlobs: (all, atOnce) => timed(() => toBlobs(chosen("base"), { all, atOnce })),

  copyByStreams: () => timed(async () => byStreams(chosen("base"), await copyFolder())),

  /** @param {number} workers */
  copyByHandles: (workers) => timed(async () => byHandles(chosen("base"), await copyFolder(), workers)),

  /** From the call to the first bytes that the caller gets. */
  async firstByte() {
    const stop = new AbortController();
    const started = performance.now();
    let first = 0;
    const output = () => new WritableStream({
      write() {
        first ||= performance.now() - started;
        stop.abort();
      },
    });
    await merge({ base: chosen("base"), adapters: [chosen("adapter")], output, signal: stop.signal }).catch(() => {});
    return first;
  },

  /** Compile and instantiate from bytes that are here already; and instantiate alone, as each worker does. */
  async instantiate(turns = 20) {
    const bytes = await (await fetch("/pkg/lorafold_bg.wasm")).arrayBuffer();
    const compiled = [];
    const instantiated = [];
    for (let turn = 0; turn < turns; turn++) {
      const start = performance.now();
      const module = await WebAssembly.compile(bytes);
      const middle = performance.now();
      await WebAssembly.instantiate(module, nothing(module));
      compiled.push(performance.now() - start);
      instantiated.push(performance.now() - middle);
    }
    return { compiled, instantiated };
  },
};

Object.assign(globalThis, { bench });
