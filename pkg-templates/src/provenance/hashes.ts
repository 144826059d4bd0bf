import { fileError } from "../errors.js";
import type { Hasher } from "../hub/sha256.js";
import type { Platform } from "../platform.js";
import type { MergedFile, MergeOptions } from "../types.js";

type Streams = Exclude<NonNullable<MergeOptions["output"]>, string | FileSystemDirectoryHandle>;

/** Makes hashers: the platform's own where it has one. */
export async function hasherOf({ newHasher }: Platform): Promise<() => Hasher> {
  if (newHasher) return newHasher;
  const { Sha256 } = await import("../hub/sha256.js");
  return () => new Sha256();
}

/** Hashes of files that are written as streams, each from beginning to end: taken as they go by. */
export class StreamHashes {
  readonly #newHasher: () => Hasher;
  readonly #hashes = new Map<string, string>();

  constructor(newHasher: () => Hasher) {
    this.#newHasher = newHasher;
  }

  /** The same streams, whose bytes are hashed before they are written. Without `streams` they go nowhere. */
  around(streams?: Streams): Streams {
    return async (file) => {
      const writer = (await streams?.(file))?.getWriter();
      const hash = this.#newHasher();
      return new WritableStream<Uint8Array>({
        write: async (chunk) => {
          hash.update(chunk);
          await writer?.write(chunk);
        },
        close: async () => {
          this.#hashes.set(file.name, hash.hex());
          await writer?.close();
        },
        abort: (reason) => writer?.abort(reason),
      });
    };
  }

  /** The hash of a file that was written to its end. */
  of(name: string): string | undefined {
    return this.#hashes.get(name);
  }
}

/**
 * The SHA-256 of a file in hex, read from beginning to end.
 *
 * @throws {LorafoldError} `source-changed` where it has another size than it was written with; `aborted`.
 */
export async function hashOf({ name, size, stream }: MergedFile, newHasher: () => Hasher, check: () => void): Promise<string> {
  const hash = newHasher();
  let bytes = 0;
  const reader = stream().getReader();
  try {
    for (;;) {
      check();
      const { done, value } = await reader.read();
      if (done) break;
      hash.update(value);
      bytes += value.length;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
  if (bytes !== size) throw fileError("source-changed", name, `it has ${bytes} bytes, and had ${size} when it was written`, { found: String(bytes), expected: String(size) });
  return hash.hex();
}
