import { inWords, LorafoldError, thrown } from "../errors.js";
import { platform } from "../platform.js";
import type { Prepared } from "../prepare.js";
import { isDirectoryHandle } from "../sources/directory.js";
import type { MergedFile, Output } from "../types.js";
import type { Target } from "../workers/protocol.js";
import { BlobSink } from "./blob.js";
import { DirectorySink } from "./directory.js";
import { openPrivateFileSystem } from "./opfs.js";
import { StreamSink } from "./stream.js";

/** A file that will be written. */
export interface PlannedFile {
  name: string;
  size: number;
}

/**
 * Where the output goes. Nothing looks finished before `finish`, and nothing is left after `abort`, which may come
 * while `open` is still at work.
 * Writes come from several workers at once and in any order; every byte comes exactly once.
 */
export interface Sink<T = MergedFile[]> {
  open(files: PlannedFile[]): Promise<void>;
  /** Resolves when the sink is ready for more from the same worker. */
  write(file: number, at: number, bytes: Uint8Array<ArrayBuffer> | Blob): Promise<void>;
  /** Whether it keeps Blobs, which workers then make. */
  readonly keepsBlobs?: boolean;
  /** Where a worker may write bytes itself. */
  target?(file: number, at: number): Target | undefined;
  finish(): Promise<T>;
  abort(): Promise<void>;
}

/** The sink for an output, which must not be what the merge reads. */
export async function openSink(output: Output, force: boolean, { inputs, directories }: Prepared): Promise<Sink> {
  const own = await platform().openSink?.(output, force, inputs);
  if (own) return own;
  if (output === "blob") return new BlobSink();
  if (output === "opfs") return openPrivateFileSystem();
  if (typeof output === "function") return new StreamSink(output);
  if (isDirectoryHandle(output)) {
    await refuseInputs(output, directories);
    return new DirectorySink(output, force);
  }
  throw new LorafoldError("bad-option", `output: ${String(output)} is not a place that files can be written to here`);
}

/** Two handles may lead to the same directory: the browser knows. */
async function refuseInputs(output: FileSystemDirectoryHandle, inputs: readonly FileSystemDirectoryHandle[]): Promise<void> {
  for (const input of inputs) {
    if (input === output || (await output.isSameEntry(input))) {
      throw new LorafoldError("bad-option", `output: ${output.name} is a folder that the merge reads; give it another one`);
    }
  }
}

/** What the platform threw while writing `name`, as one of our errors. */
export function writeFailed(name: string, error: unknown): LorafoldError {
  if (error instanceof LorafoldError) return error;
  const { name: kind, code } = thrown(error);
  const full = kind === "QuotaExceededError" || code === "out-of-space";
  return new LorafoldError(full ? "out-of-space" : "fetch-failed", `${name}: ${inWords(error)}`, { detail: error });
}
