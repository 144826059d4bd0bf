import type { PlainError } from "../errors.js";

/** What TypeScript's DOM types leave out, because only workers have it. */
export interface SyncHandle {
  write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  flush(): void;
  close(): void;
}
type SyncFile = FileSystemFileHandle & { createSyncAccessHandle(options?: { mode: string }): Promise<SyncHandle> };

/** Whether several workers may have the same file open; elsewhere it is locked by whoever opens it. */
export const canShare = (): boolean => "mode" in ((globalThis as { FileSystemSyncAccessHandle?: { prototype: object } }).FileSystemSyncAccessHandle?.prototype ?? {});

/**
 * Open a file of the private file system, which is made where it is not there; its folder is not, for that may be gone since an abort. Only
 * workers can; it is several times as fast as streams.
 */
export async function openSync(path: readonly string[]): Promise<SyncHandle> {
  let directory = await navigator.storage.getDirectory();
  for (const name of path.slice(0, -1)) directory = await directory.getDirectoryHandle(name);
  const file = (await directory.getFileHandle(path.at(-1)!, { create: true })) as SyncFile;
  return file.createSyncAccessHandle(...(canShare() ? [{ mode: "readwrite-unsafe" }] : []));
}

/** Write all of the bytes. */
export function writeAll(handle: SyncHandle, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  let written = 0;
  while (written < bytes.length) {
    let got = 0;
    try {
      got = handle.write(bytes.subarray(written), { at: at + written });
    } catch (error) {
      throw (error as Error).name === "QuotaExceededError" ? full((error as Error).message) : error;
    }
    if (got === 0) throw full("the browser takes no more bytes");
    written += got;
  }
}

function full(message: string): Error & PlainError {
  return Object.assign(new Error(message), { code: "out-of-space" as const });
}
