import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { fileError, LorafoldError, platformFacts, readFailed, thrown } from "../errors.js";
import type { BoundInput, Input } from "../sources/input.js";
import { WRITING } from "./own-file.js";
import { PathReader } from "./path-reader.js";
import { changed, versionOf } from "./source.js";

/** The most files that one thread has open for reading, and again for writing. A model may have more shards than a process may open files. */
const MOST_OPEN = 32;

/** A cache of file descriptors, opened on demand; the least recently used one is closed. */
class OpenFiles<Key> {
  /** In order of use: the most recent is last. */
  readonly #open = new Map<Key, number>();

  /** The descriptor of a file, valid until the next call. */
  descriptor(key: Key, open: () => number): number {
    const descriptor = this.#open.get(key) ?? open();
    this.#open.delete(key);
    this.#open.set(key, descriptor);
    const [oldest] = this.#open.keys();
    if (this.#open.size > MOST_OPEN && oldest !== undefined) this.close(oldest);
    return descriptor;
  }

  close(key: Key): void {
    const descriptor = this.#open.get(key);
    if (descriptor !== undefined) closeSync(descriptor);
    this.#open.delete(key);
  }

  closeAll(): void {
    for (const key of [...this.#open.keys()]) this.close(key);
  }
}

/** The input files that this thread has open. */
const reading = new OpenFiles<Input>();

/**
 * Open an input file.
 *
 * @throws {LorafoldError} `source-changed` where it is not the file that was listed.
 */
function openListed(path: string, version: string | undefined): number {
  const descriptor = openSync(path, "r");
  if (version === undefined || versionOf(fstatSync(descriptor)) === version) return descriptor;
  closeSync(descriptor);
  throw changed(path);
}

/** Readers for an input that is a path: a synchronous one that fills WebAssembly memory, and an asynchronous one. Nothing for other inputs. */
export function bindPath(input: Input): BoundInput | undefined {
  const { path, version } = input;
  if (path === undefined) return undefined;
  const bound: BoundInput = {
    ...input,
    readInto(view, start) {
      try {
        fill(path, reading.descriptor(bound, () => openListed(path, version)), view, start);
      } catch (error) {
        throw readFailed(path, error);
      }
    },
    open: (start) => new PathReader(path, version, start),
    sha256: async () => {
      try {
        return await hashFile(path);
      } catch (error) {
        throw readFailed(path, error);
      }
    },
    close: () => reading.close(bound),
  };
  return bound;
}

/** Fill `view` with the bytes of an open file from `start` on. */
function fill(path: string, descriptor: number, view: Uint8Array, start: number): void {
  let filled = 0;
  while (filled < view.length) {
    const got = readSync(descriptor, view, filled, view.length - filled, start + filled);
    if (got === 0) throw fileError("source-changed", path, `it ends before byte ${start + view.length}`);
    filled += got;
  }
}

/** Bytes hashed at a time, between which the thread answers. */
const HASH_STEP = 4 << 20;

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  const [one, other] = [new Uint8Array(HASH_STEP), new Uint8Array(HASH_STEP)];
  const file = await open(path);
  try {
    // While one part is hashed, the next is read.
    let next = file.read(one, 0, HASH_STEP, 0);
    for (let at = 0, number = 0; ; number++) {
      const { bytesRead, buffer } = await next;
      if (bytesRead === 0) break;
      at += bytesRead;
      next = file.read(number % 2 === 0 ? other : one, 0, HASH_STEP, at);
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}

/** Bytes written at a time: for longer writes Linux allocates pages in a way that takes several times as long (benches/NOTES.md). */
const WRITE_STEP = 1 << 20;

/** Output files that a worker writes. */
export class FileTargets {
  readonly #open = new OpenFiles<string>();

  write(path: string, at: number, bytes: Uint8Array): void {
    try {
      const descriptor = this.#open.descriptor(path, () => openSync(path, WRITING));
      let written = 0;
      while (written < bytes.length) {
        written += writeSync(descriptor, bytes, written, Math.min(WRITE_STEP, bytes.length - written), at + written);
      }
    } catch (error) {
      throw writeFailed(path, error);
    }
  }

  close(): void {
    this.#open.closeAll();
  }
}

/** What the platform threw while writing, as one of our errors. */
export function writeFailed(path: string, error: unknown): LorafoldError {
  if (error instanceof LorafoldError) return error;
  const { code, message } = thrown(error);
  const full = code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
  return fileError(full ? "out-of-space" : "write-failed", path, message, platformFacts(error));
}
