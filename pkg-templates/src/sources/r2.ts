import { LorafoldError } from "../errors.js";
import { pause } from "../pause.js";
import type { Source } from "../types.js";
import { WAITS } from "./request.js";
import { unlessSilent, unlessSilentBody } from "./silence.js";

/** What is used of an R2 bucket's binding. */
export interface R2BucketLike {
  /** Objects below a prefix, page by page. */
  list(options: { prefix: string; delimiter: string; cursor?: string }): Promise<{ objects: R2ObjectLike[]; truncated: boolean; cursor?: string }>;
  /** A range of an object; without a body where it is not the one that `onlyIf` names. */
  get(key: string, options: { range: { offset: number; length: number }; onlyIf?: { etagMatches: string } }): Promise<(R2ObjectLike & { body?: ReadableStream<Uint8Array> }) | null>;
}

/** What is used of an object in a bucket. */
export interface R2ObjectLike {
  key: string;
  size: number;
  etag: string;
}

/** The files directly below `prefix` in a bucket, as a base or an adapter. Every read is of the object that was listed, or `source-changed`. */
export function r2Source(bucket: R2BucketLike, prefix: string): Source {
  const folder = prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;

  const body = async (name: string, start: number, end: number, etag: string | undefined): Promise<ReadableStream<Uint8Array>> => {
    const range = { offset: start, length: end - start };
    const onlyIf = etag !== undefined && { onlyIf: { etagMatches: etag } };
    const object = await patiently(
      () => bucket.get(folder + name, { range, ...onlyIf }),
      (late) => late?.body?.cancel(),
    ).catch((error: unknown) => {
      throw new LorafoldError("fetch-failed", `${folder}${name}: ${String((error as Error)?.message ?? error)}`, { detail: error });
    });
    if (!object) throw new LorafoldError("source-changed", `${folder}${name}: it is not there any more`);
    // An object without a body is one that is not what `onlyIf` says.
    if (!object.body) throw new LorafoldError("source-changed", `${folder}${name}: it was ${etag} and is now ${object.etag}`);
    return object.body;
  };

  return {
    async list() {
      const files = [];
      for (let cursor: string | undefined, more = true; more; ) {
        const page = await patiently(() => bucket.list({ prefix: folder, delimiter: "/", ...(cursor !== undefined && { cursor }) }));
        for (const { key, size, etag } of page.objects) {
          const name = key.slice(folder.length);
          if (name === "") continue;
          files.push({ name, size, version: etag });
        }
        cursor = page.cursor;
        more = page.truncated;
      }
      return files;
    },
    async read(name, start, end, version) {
      if (start === end) return new Uint8Array(0);
      return new Uint8Array(await new Response(unlessSilentBody(await body(name, start, end, version))).arrayBuffer());
    },
    stream(name, start, end, version) {
      let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
      let left = false;
      return new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            reader ??= (await body(name, start, end, version)).getReader();
            // Whoever left while it was asked for could not cancel it.
            if (left) return reader.cancel();
            const { done, value } = await unlessSilent(reader.read(), () => void reader?.cancel().catch(() => undefined));
            if (done) controller.close();
            else controller.enqueue(value);
          },
          cancel(reason) {
            left = true;
            return reader?.cancel(reason);
          },
        },
        { highWaterMark: 0 },
      );
    },
  };
}

/** `discard` is for what comes when nobody waits for it any more. */
async function patiently<T>(work: () => Promise<T>, discard: (late: T) => unknown = () => undefined): Promise<T> {
  const once = () => {
    const coming = work();
    return unlessSilent(coming, () => void coming.then(discard).catch(() => undefined));
  };
  for (const wait of WAITS) {
    try {
      return await once();
    } catch {
      await pause(wait);
    }
  }
  return once();
}
