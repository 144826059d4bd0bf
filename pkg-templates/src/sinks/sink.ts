import { fileError, inWords, LorafoldError, platformFacts, thrown } from "../errors.js";
import type { FileSize } from "../schema.js";
import type { MergedFile } from "../types.js";
import type { Target } from "../workers/protocol.js";

/** A file that will be written. */
export type PlannedFile = FileSize;

/**
 * Where the output goes. Files look complete only after `finish`, and none are left after `abort`, which may be called while `open` is
 * running. Several workers write at once and in any order; every byte is written exactly once.
 */
export interface Sink<T = MergedFile[]> {
  open(files: PlannedFile[]): Promise<void>;
  /** Refuse, where that can be seen, an output that `open` would refuse: for work whose sizes are only known at its end. */
  check?(names: string[]): Promise<void>;
  /** Resolves when the same worker may write more. */
  write(file: number, at: number, bytes: Uint8Array<ArrayBuffer> | Blob): Promise<void>;
  /** Whether it keeps Blobs; then workers make them. */
  readonly keepsBlobs?: boolean;
  /** Where a worker may write the bytes itself; nothing where they must go through `write`. */
  target?(file: number, at: number): Target | undefined;
  finish(): Promise<T>;
  abort(): Promise<void>;
}

/** What the platform threw while writing `name`, as one of our errors. */
export function writeFailed(name: string, error: unknown): LorafoldError {
  if (error instanceof LorafoldError) return error;
  const { name: kind, code } = thrown(error);
  const full = kind === "QuotaExceededError" || code === "out-of-space";
  return fileError(full ? "out-of-space" : "write-failed", name, inWords(error), platformFacts(error));
}
