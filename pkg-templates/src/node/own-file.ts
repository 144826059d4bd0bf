import { constants, type FileHandle, open } from "node:fs/promises";

/** Flags of every opening for writing: a link of a known name, which somebody has put there before, would lead the bytes elsewhere. */
export const WRITING = constants.O_RDWR | (constants.O_NOFOLLOW ?? 0);

/** Open a file of the output that is there, and no link. */
export const openOwn = (path: string): Promise<FileHandle> => open(path, WRITING);

/** Make a hidden file of this size: one that was not there, or one that others write to as well, whose content stays. */
export async function allot(path: string, size: number, kind: "new" | "shared"): Promise<void> {
  const file = await open(path, WRITING | constants.O_CREAT | (kind === "new" ? constants.O_EXCL : 0));
  try {
    await file.truncate(size);
  } finally {
    await file.close();
  }
}
