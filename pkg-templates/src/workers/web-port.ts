import { scriptFailed } from "../errors.js";
import type { Port } from "./protocol.js";

/** The owner's end of the channel to a web worker. */
export function webPort(worker: Worker): Port {
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (handler) => worker.addEventListener("message", (event) => handler(event.data as never)),
    onError: (handler) => worker.addEventListener("error", (event) => handler(scriptFailed(event))),
    terminate: () => worker.terminate(),
  };
}
