import type { Port } from "./protocol.js";
import { serve } from "./serve.js";
import { openSync, type SyncHandle, writeAll } from "./sync-files.js";

/** The worker of browsers (and of every runtime with web workers). TypeScript's DOM types know only the window's `self`. */
const scope = self as unknown as Worker & { close(): void };

const port: Port = {
  post: (message, transfer = []) => scope.postMessage(message, transfer),
  onMessage: (handler) => scope.addEventListener("message", (event) => handler((event as MessageEvent).data as never)),
  onError: () => {},
  terminate: () => scope.close(),
};

const handles = new Map<string, SyncHandle>();

serve(port, undefined, {
  async open({ path }) {
    if (!handles.has(path)) handles.set(path, await openSync(path.split("/")));
  },
  write: ({ path, at }, bytes) => writeAll(handles.get(path)!, bytes, at),
});
