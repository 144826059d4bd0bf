import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { LorafoldError, thrown } from "../errors.js";
import type { BoundInput, Input } from "../sources/listing.js";
import { PathReader } from "./path-reader.js";

/** Give an input that is a path readers: a synchronous one, straight into WebAssembly memory, and one that lets others work meanwhile. */
export function bindPath(input: Input): BoundInput | undefined {
  const { path, version } = input;
  if (path === undefined) return undefined;
  let descriptor: number | undefined;
  const readInto = (view: Uint8Array, start: number) => {
    descriptor ??= openSync(path, "r");
    let filled = 0;
    while (filled < view.length) {
      const got = readSync(descriptor, view, filled, view.length - filled, start + filled);
      if (got === 0) throw new LorafoldError("source-changed", `${path}: it ends before byte ${start + view.length}`);
      filled += got;
    }
  };
  const close = () => {
    if (descriptor !== undefined) closeSync(descriptor);
    descriptor = undefined;
  };
  const open = (start: number) => new PathReader(path, version, start);
  return { ...input, readInto, open, sha256: async () => hashFile(path), close };
}

/** Bytes hashed at a time. */
const HASH_STEP = 1 << 20;

function hashFile(path: string): string {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(HASH_STEP);
  const descriptor = openSync(path, "r");
  try {
    for (let got = readSync(descriptor, buffer); got > 0; got = readSync(descriptor, buffer)) hash.update(buffer.subarray(0, got));
  } finally {
    closeSync(descriptor);
  }
  return hash.digest("hex");
}

/** Bytes written at a time: of a longer write Linux makes pages that take several times as long to come by (benches/NOTES.md). */
const WRITE_STEP = 1 << 20;

/** Output files that a worker writes, each opened once. */
export class FileTargets {
  readonly #open = new Map<string, number>();

  write(path: string, at: number, bytes: Uint8Array): void {
    let descriptor = this.#open.get(path);
    if (descriptor === undefined) {
      descriptor = openSync(path, "r+");
      this.#open.set(path, descriptor);
    }
    try {
      let written = 0;
      while (written < bytes.length) {
        written += writeSync(descriptor, bytes, written, Math.min(WRITE_STEP, bytes.length - written), at + written);
      }
    } catch (error) {
      throw writeFailed(path, error);
    }
  }

  close(): void {
    for (const descriptor of this.#open.values()) closeSync(descriptor);
    this.#open.clear();
  }
}

/** What the platform threw while writing, as one of our errors. */
export function writeFailed(path: string, error: unknown): LorafoldError {
  if (error instanceof LorafoldError) return error;
  const { code, message } = thrown(error);
  const full = code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
  return new LorafoldError(full ? "out-of-space" : "fetch-failed", `${path}: ${message}`, { detail: error });
}
