import type { Port } from "./protocol.js";
import { writeFailed } from "../sinks/sink.js";
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

/** What errors call a file. */
const nameOf = (path: string) => path.split("/").at(-1)!;

const handles = new Map<string, SyncHandle>();

serve(port, undefined, {
  async open({ path }) {
    if (handles.has(path)) return;
    const handle = await openSync(path.split("/")).catch((error: unknown) => {
      throw writeFailed(nameOf(path), error);
    });
    handles.set(path, handle);
  },
  write({ path, at }, bytes) {
    try {
      writeAll(handles.get(path)!, bytes, at);
    } catch (error) {
      throw writeFailed(nameOf(path), error);
    }
  },
});
