import { openReader } from "../sources/bind.js";
import type { BoundInput } from "../sources/input.js";
import type { Span } from "../schema.js";

/** Bytes between two spans of a file that are read rather than asked around. */
const GAP = 1 << 16;

/** The bytes of each span. Those that stand side by side in a file come by one read. */
export async function readSpans({ inputs }: { inputs: readonly BoundInput[] }, spans: readonly Span[], signal?: AbortSignal): Promise<Uint8Array[]> {
  const order = spans.map((span, index) => ({ ...span, index })).sort((a, b) => a.input - b.input || a.start - b.start);
  const found: Uint8Array[] = [];
  for (let at = 0; at < order.length; ) {
    const { input, start } = order[at]!;
    let end = start + order[at]!.bytes;
    let next = at + 1;
    for (; next < order.length && order[next]!.input === input && order[next]!.start - end <= GAP; next++) {
      end = Math.max(end, order[next]!.start + order[next]!.bytes);
    }
    const together = await readRange(inputs[input]!, start, end, signal);
    for (const span of order.slice(at, next)) found[span.index] = together.subarray(span.start - start, span.start - start + span.bytes);
    at = next;
  }
  return found;
}

/** Whether the bytes of some spans are those of others. */
export const sameSpans = (some: readonly Span[], others: readonly Span[]): boolean =>
  some.length === others.length && some.every(({ input, start, bytes }, at) => input === others[at]!.input && start === others[at]!.start && bytes === others[at]!.bytes);

async function readRange(input: BoundInput, start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
  const reader = openReader(input, start, end, signal);
  try {
    return await reader.take(end - start);
  } finally {
    reader.cancel();
  }
}
