import { toPlain } from "../errors.js";
import type { FromWriter, ToWriter } from "./opfs-protocol.js";

/** What TypeScript's DOM types leave out, because only workers have it. */
interface SyncHandle {
  write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  flush(): void;
  close(): void;
}
type SyncFile = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncHandle> };

/**
 * Writes files of the private file system, which only workers may do synchronously; several times as fast as streams.
 * One worker has all files: a file is locked by whoever opens it.
 */
const scope = self as unknown as Worker;
const handles: SyncHandle[] = [];

/** Bytes of a Blob that are in memory at once. */
const BLOB_STEP = 8 << 20;

async function perform(message: ToWriter): Promise<void> {
  switch (message.type) {
    case "open": {
      let directory = await navigator.storage.getDirectory();
      for (const name of message.path) directory = await directory.getDirectoryHandle(name, { create: true });
      for (const name of message.files) {
        const file = (await directory.getFileHandle(name, { create: true })) as SyncFile;
        handles.push(await file.createSyncAccessHandle());
      }
      return;
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

function writeAll(handle: SyncHandle, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  let written = 0;
  while (written < bytes.length) {
    const got = handle.write(bytes.subarray(written), { at: at + written });
    if (got === 0) throw Object.assign(new Error("the browser takes no more bytes"), { code: "out-of-space" });
    written += got;
  }
}

scope.addEventListener("message", (event) => {
  const message = (event as MessageEvent<ToWriter>).data;
  const answer = (reply: FromWriter) => scope.postMessage(reply);
  perform(message).then(
    () => answer({ id: message.id }),
    (error: unknown) => {
      const full = (error as { name?: string }).name === "QuotaExceededError";
      answer({ id: message.id, error: { ...toPlain(error), ...(full && { code: "out-of-space" }) } });
    },
  );
});
