import { unlessAborted } from "../errors.js";
import type { BoundInput, Input } from "./input.js";
import { type ByteReader, RandomReader, ReopeningReader } from "./reader.js";
import { RemoteFile } from "./remote.js";
import type { Rest } from "./request.js";

/** Give an input readers of this thread's own: those of its platform, or those of files behind URLs. */
export function bind(input: Input, own?: (input: Input) => BoundInput | undefined): BoundInput {
  const bound = own?.(input);
  if (bound) return bound;
  const { url } = input;
  if (url === undefined) return input;
  const file = new RemoteFile({ ...input, url });
  return {
    ...input,
    read: (start, end) => file.read(start, end),
    open: (start, end, signal, rest) => file.open(start, end, signal, rest),
    close: () => file.close(),
  };
}

/** A reader of bytes `start` up to `end`: one stream where the input has streams, parts as they are wanted where not. */
export function openReader(input: BoundInput, start: number, end: number, signal?: AbortSignal, rest?: Rest): ByteReader {
  if (input.open) return input.open(start, end, signal, rest);
  const { blob, read, stream } = input;
  const any = read ?? (async (from: number, to: number) => new Uint8Array(await blob!.slice(from, to).arrayBuffer()));
  const reader: ByteReader = stream ? new ReopeningReader(input.name, start, end, stream) : new RandomReader(input.name, start, any);
  return {
    // These know of no signal: whoever stops leaves them to themselves.
    take: (bytes) => unlessAborted(reader.take(bytes), signal),
    cancel: () => reader.cancel(),
    get connected() {
      return reader.connected ?? false;
    },
  };
}
