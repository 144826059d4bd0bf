import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { createContext } from "../context.js";
import { workerDied } from "../errors.js";
import type { Platform } from "../platform.js";
import { readRestBy } from "../rest.js";
import type { Port } from "../workers/protocol.js";
import { bindPath, FileTargets } from "./files.js";
import { FolderSink } from "./folder-sink.js";
import { userEndpoint, userToken } from "./hub-user.js";
import { readRest } from "./rest-file.js";
import { asPath, checkInputs, listPath } from "./source.js";

readRestBy(readRest);

/** Node: paths as sources and outputs, and threads that read and write files themselves. */
export const nodePlatform: Platform = {
  async loadWasm() {
    const module = await WebAssembly.compile(await readFile(new URL("../lorafold_bg.wasm", import.meta.url)));
    return { module, rest: new URL("../lorafold_rest.wasm", import.meta.url).href };
  },
  startWorker,
  newHasher() {
    const hash = createHash("sha256");
    return { update: (bytes) => hash.update(bytes), hex: () => hash.digest("hex") };
  },
  processors: availableParallelism,
  openSource: listPath,
  hubEndpoint: userEndpoint,
  hubToken: userToken,
  async openSink(output, force, inputs) {
    const path = output === "blob" || output === "opfs" ? undefined : asPath(output);
    if (path === undefined) return undefined;
    return new FolderSink(path, force, inputs);
  },
  bindInput: bindPath,
  checkInputs,
  writer: {
    write({ path, at }, bytes) {
      const targets = new FileTargets();
      try {
        targets.write(path, at, bytes);
      } finally {
        targets.close();
      }
    },
  },
};

/** The context of the API in Node and of the command line. */
export const nodeContext = createContext(nodePlatform);

/** Milliseconds that a worker may still load its code after it was told to stop. */
const LOADING = 10_000;

function startWorker(): Port {
  // Without the flags of this process: workers that run a file refuse some of them (`--input-type`).
  const worker = new Worker(new URL("../workers/node-worker.js", import.meta.url), { execArgv: [] });
  // Terminating a thread while it loads its code would leave the files of that code open in this process.
  const loaded = new Promise<void>((resolve) => worker.once("message", () => resolve()).once("exit", () => resolve()));
  const terminate = async () => {
    const late = setTimeout(() => void worker.terminate(), LOADING);
    await loaded;
    clearTimeout(late);
    await worker.terminate();
  };
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (handler) => worker.on("message", (message) => handler(message as never)),
    onError: (handler) => worker.on("error", (error) => handler(workerDied(error))),
    terminate: () => void terminate(),
  };
}
