import { fileError, optionError, thrown, wrongValue } from "../errors.js";
import { pause } from "../pause.js";
import type { Source } from "../types.js";
import { ChunkReader } from "./chunks.js";
import { NETWORK, type Network } from "./network.js";
import { StreamReader } from "./reader.js";
import { unlessStalled } from "./stall.js";

/** The part of an R2 bucket's binding that is used. */
export interface R2BucketLike {
  /** Objects below a prefix, page by page. */
  list(options: { prefix: string; delimiter: string; cursor?: string }): Promise<{ objects: R2ObjectLike[]; truncated: boolean; cursor?: string }>;
  /** A range of an object; without a body where its ETag is not the one in `onlyIf`. */
  get(key: string, options: { range: { offset: number; length: number }; onlyIf?: { etagMatches: string } }): Promise<(R2ObjectLike & { body?: ReadableStream<Uint8Array> }) | null>;
}

/** The part of an object in a bucket that is used. */
export interface R2ObjectLike {
  key: string;
  size: number;
  etag: string;
}

/**
 * The files directly below `prefix` in a bucket, as a base or an adapter. Every read is of the object that was listed, or `source-changed`.
 *
 * @throws {LorafoldError} `bad-option` where they are no bucket and no path.
 */
export function r2Source(bucket: R2BucketLike, prefix: string): Source {
  return bucketSource(bucket, prefix, NETWORK);
}

/** The same, with network settings of its own. */
export function bucketSource(bucket: R2BucketLike, prefix: string, network: Network): Source {
  if (typeof bucket?.list !== "function" || typeof bucket.get !== "function") throw optionError("bucket", "not the binding of an R2 bucket");
  if (typeof prefix !== "string") throw wrongValue("prefix", prefix, "the path of a folder in the bucket");
  const { stallTimeout } = network;
  const folder = prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;

  const body = async (name: string, start: number, end: number, etag: string | undefined): Promise<ReadableStream<Uint8Array>> => {
    const range = { offset: start, length: end - start };
    const onlyIf = etag !== undefined && { onlyIf: { etagMatches: etag } };
    const object = await withRetries(
      network,
      () => bucket.get(folder + name, { range, ...onlyIf }),
      (late) => late?.body?.cancel(),
    ).catch((error: unknown) => {
      throw fileError("fetch-failed", folder + name, thrown(error).message, { detail: error });
    });
    if (!object) throw fileError("source-changed", folder + name, "it is gone", { kind: "not-found" });
    // R2 leaves out the body where `onlyIf` does not hold.
    if (!object.body) throw fileError("source-changed", folder + name, `it was ${etag} and is now ${object.etag}`, { found: object.etag, ...(etag !== undefined && { expected: etag }) });
    return object.body;
  };

  return {
    async list() {
      const files = [];
      for (let cursor: string | undefined, more = true; more; ) {
        const page = await withRetries(network, () => bucket.list({ prefix: folder, delimiter: "/", ...(cursor !== undefined && { cursor }) }));
        for (const { key, size, etag } of page.objects) {
          const name = key.slice(folder.length);
          if (name === "") continue;
          files.push({ name, size, version: etag });
        }
        cursor = page.cursor;
        more = page.truncated;
      }
      if (files.length === 0) throw fileError("wrong-input", `r2:${folder}`, `there are no objects directly below ${folder || "the beginning"} in the bucket`, { kind: "not-found" });
      return files;
    },
    async read(name, start, end, version) {
      if (start === end) return new Uint8Array(0);
      const reader = new StreamReader(folder + name, await body(name, start, end, version), stallTimeout);
      try {
        return await reader.take(end - start);
      } finally {
        reader.cancel();
      }
    },
    stream(name, start, end, version) {
      let reader: ChunkReader | undefined;
      let cancelled = false;
      return new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            reader ??= new ChunkReader(await body(name, start, end, version), stallTimeout);
            // A cancel that came while the object was requested had no reader to cancel.
            if (cancelled) return reader.cancel();
            const chunk = await reader.read();
            if (chunk) controller.enqueue(chunk.slice());
            else controller.close();
          },
          cancel(reason) {
            cancelled = true;
            return reader?.cancel(reason);
          },
        },
        { highWaterMark: 0 },
      );
    },
  };
}

/** Retry what fails or stalls. `discard` is called with a result that comes after its try was given up. */
async function withRetries<T>({ retryDelays, stallTimeout }: Network, work: () => Promise<T>, discard: (late: T) => unknown = () => undefined): Promise<T> {
  const once = () => {
    const coming = work();
    return unlessStalled(coming, stallTimeout, () => void coming.then(discard).catch(() => undefined));
  };
  for (const wait of retryDelays) {
    try {
      return await once();
    } catch {
      await pause(wait);
    }
  }
  return once();
}
