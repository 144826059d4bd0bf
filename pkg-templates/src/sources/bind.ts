import { unlessAborted } from "../errors.js";
import type { BoundInput, Input } from "./input.js";
import { type ByteReader, RandomReader, ReopeningReader } from "./reader.js";
import { RemoteFile } from "./remote.js";
import type { RetryWait } from "./request.js";

/** Make an input readable in this thread: `bindInput` for those that only the platform can read, a {@link RemoteFile} for URLs. */
export function bind(input: Input, bindInput?: (input: Input) => BoundInput | undefined): BoundInput {
  const bound = bindInput?.(input);
  if (bound) return bound;
  const { bytes, url } = input;
  if (bytes) {
    return {
      ...input,
      readInto: (view, start) => view.set(bytes.subarray(start, start + view.length)),
      read: async (start, end) => bytes.subarray(start, end),
    };
  }
  if (url === undefined) return input;
  const file = new RemoteFile({ ...input, url });
  return {
    ...input,
    read: (start, end) => file.read(start, end),
    open: (start, end, signal, retryWait) => file.open(start, end, signal, retryWait),
    close: () => file.close(),
  };
}

/** A reader of bytes `start` up to `end`: one stream where the input has streams, otherwise one read for each `take`. */
export function openReader(input: BoundInput, start: number, end: number, signal?: AbortSignal, retryWait?: RetryWait): ByteReader {
  if (input.open) return input.open(start, end, signal, retryWait);
  const { blob, bytes, read, stream } = input;
  const any = read ?? (bytes && (async (from: number, to: number) => bytes.subarray(from, to))) ?? (async (from: number, to: number) => new Uint8Array(await blob!.slice(from, to).arrayBuffer()));
  const reader: ByteReader = stream ? new ReopeningReader(input.name, start, end, stream) : new RandomReader(input.name, start, any);
  return {
    // These take no signal: an aborted caller stops waiting for them, and they end by themselves.
    take: (bytes) => unlessAborted(reader.take(bytes), signal),
    cancel: () => reader.cancel(),
    get connected() {
      return reader.connected ?? false;
    },
  };
}
