import { toPlain } from "../errors.js";
import type { FromWriter, ToWriter } from "./opfs-protocol.js";
import { canShare, openSync, type SyncHandle, writeAll } from "./sync-files.js";

/** Writes what the page has for files of the private file system: all of it, or, where workers can share a file, what no worker computes. */
const scope = self as unknown as Worker;
const handles: SyncHandle[] = [];

/** Bytes of a Blob that are in memory at once. */
const BLOB_STEP = 8 << 20;

async function perform(message: ToWriter): Promise<boolean | void> {
  switch (message.type) {
    case "open": {
      for (const name of message.files) handles.push(await openSync([...message.path, name]));
      return canShare();
    }
    case "write": {
      const handle = handles[message.file]!;
      const { bytes, at } = message;
      if (!(bytes instanceof Blob)) return writeAll(handle, new Uint8Array(bytes), at);
      for (let start = 0; start < bytes.size; start += BLOB_STEP) {
        const part = await bytes.slice(start, start + BLOB_STEP).arrayBuffer();
        writeAll(handle, new Uint8Array(part), at + start);
      }
      return;
    }
    case "close":
      for (const handle of handles) {
        handle.flush();
        handle.close();
      }
  }
}

scope.addEventListener("message", (event) => {
  const message = (event as MessageEvent<ToWriter>).data;
  const answer = (reply: FromWriter) => scope.postMessage(reply);
  perform(message).then(
    (shared) => answer({ id: message.id, ...(shared && { shared }) }),
    (error: unknown) => answer({ id: message.id, error: toPlain(error) }),
  );
});
