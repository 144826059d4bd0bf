import { parentPort } from "node:worker_threads";
import { FileTargets, bindPath } from "../node/files.js";
import { readRest } from "../node/rest-file.js";
import { readRestBy } from "../rest.js";
import type { Port } from "./protocol.js";
import { serve } from "./serve.js";

/** The worker of Node: reads and writes files itself, between the disk and WebAssembly memory. */
const owner = parentPort!;

const port: Port = {
  post: (message, transfer = []) => owner.postMessage(message, transfer),
  onMessage: (handler) => owner.on("message", (message) => handler(message as never)),
  onError: () => {},
  terminate: () => process.exit(0),
};

readRestBy(readRest);
const targets = new FileTargets();
serve(port, bindPath, { write: ({ path, at }, bytes) => targets.write(path, at, bytes) });
