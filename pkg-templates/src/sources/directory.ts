import { readFailed } from "../errors.js";
import type { Input, Listing } from "./input.js";

/** Whether a source is a directory handle, of a picker, a drop or the private file system. */
export function isDirectoryHandle(source: unknown): source is FileSystemDirectoryHandle {
  return (source as { kind?: unknown } | null)?.kind === "directory";
}

/** List the files directly inside a directory. */
export function listDirectory(directory: FileSystemDirectoryHandle): Promise<Listing> {
  return list(directory).catch((error: unknown) => {
    throw readFailed(directory.name, error);
  });
}

async function list(directory: FileSystemDirectoryHandle): Promise<Listing> {
  const files: Input[] = [];
  const folders: string[] = [];
  for await (const handle of directory.values()) {
    if (handle.kind !== "file") {
      if (!handle.name.startsWith(".")) folders.push(handle.name);
      continue;
    }
    const file = await (handle as FileSystemFileHandle).getFile();
    files.push({ name: file.name, size: file.size, blob: file, version: String(file.lastModified) });
  }
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { name: directory.name || "folder", files, folders: folders.sort() };
}
