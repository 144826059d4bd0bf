import { readFailed } from "../errors.js";
import type { Piece } from "../pieces.js";
import { openReader } from "../sources/bind.js";
import type { BoundInput } from "../sources/listing.js";
import type { ByteReader } from "../sources/reader.js";
import { Lease } from "./lease.js";
import type { Factor, Workshop } from "./workshop.js";

/** A run of output bytes that one read of an input serves, as the plan gives it. */
interface Run {
  end: number;
  source: { input: number; start: number; end: number } | null;
}

/** Pieces that are asked of the plan at once. */
const PIECES = 64;

/** Bytes that are computed first where somebody waits for them to know whether the base can be read. */
const FIRST = 64 << 10;

/** Bytes of a factor pair's file between A and B that are read rather than asked around. */
const GAP = 1 << 16;

/**
 * The bytes `start` up to `end` of an output file, block by block, each computed when it is asked for. The base is read as few runs as there
 * can be: one, wherever the output has the order of the base. `proven`: the plan's own bytes come when those of the base are there.
 */
export async function* mergedBytes(shop: Workshop, file: number, start: number, end: number, signal?: AbortSignal, proven = false): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const { inputs } = shop;
  let held: Uint8Array<ArrayBuffer>[] | undefined = proven ? [] : undefined;
  for (let at = start; at < end; ) {
    const run = JSON.parse(shop.plan.run(file, at, end)) as Run;
    const { source } = run;
    const lease = source && new Lease(shop.turns, (rest) => openReader(inputs[source.input]!, source.start, source.end, signal, rest), signal);
    try {
      while (at < run.end) {
        const [block, pieces] = held ? [Math.min(FIRST, shop.block), 1] : [shop.block, PIECES];
        for (const piece of JSON.parse(shop.plan.pieces(file, at, run.end, block, pieces)) as Piece[]) {
          for await (const bytes of pieceBytes(shop, file, piece, lease, block, signal)) {
            at += bytes.length;
            if (held && piece.kind === "plan") {
              held.push(bytes);
              continue;
            }
            yield* held ?? [];
            held = undefined;
            yield bytes;
          }
        }
      }
    } catch (error) {
      throw readFailed(source ? inputs[source.input]!.name : "", error);
    } finally {
      lease?.end();
    }
  }
  yield* held ?? [];
}

/** `first`: bytes of the first block. */
async function* pieceBytes(shop: Workshop, file: number, piece: Piece, lease: Lease | null, first: number, signal?: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  switch (piece.kind) {
    case "plan":
      yield (shop.plan.planBytes(file) as Uint8Array<ArrayBuffer>).slice(piece.at, piece.at + piece.bytes);
      return;
    case "copy":
      for (let left = piece.bytes, most = first; left > 0; most = shop.block) {
        const bytes = Math.min(most, left);
        left -= bytes;
        yield await lease!.take(bytes, (reader) => reader.take(bytes));
      }
      return;
    case "merge":
      yield await lease!.take(piece.baseBytes, (reader) => fold(shop, piece, reader, signal));
  }
}

async function fold(shop: Workshop, piece: Piece & { kind: "merge" }, reader: ByteReader, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const { text, spec } = shop.spec(piece.tensor);
  // Asked before a read begins, which whatever threw then would leave alone.
  const known = shop.merger.hasFactors(spec.tensor);
  const reads = [reader.take(piece.baseBytes), known ? undefined : readFactors(shop, spec.terms, signal)] as const;
  await Promise.allSettled(reads);
  const [base, factors] = await Promise.all(reads);
  // They may have made room for others' while the base was awaited.
  const missing = shop.merger.hasFactors(spec.tensor) ? [] : (factors ?? (await readFactors(shop, spec.terms, signal)));
  const { merger } = shop;
  merger.foldGiven(text, piece.first, piece.count, missing, base);
  return new Uint8Array(shop.memory.buffer as ArrayBuffer, merger.offset + piece.skip, piece.bytes).slice();
}

/** The bytes of every term's A and B, one after another; those that stand side by side come by one read. */
async function readFactors({ inputs }: Workshop, terms: readonly { a: Factor; b: Factor }[], signal?: AbortSignal): Promise<Uint8Array[]> {
  const factors: Uint8Array[] = [];
  for (const { a, b } of terms) {
    const [low, high] = a.start <= b.start ? [a, b] : [b, a];
    const together = a.input === b.input && high.start - (low.start + low.bytes) <= GAP;
    if (together) {
      const both = await readRange(inputs[low.input]!, low.start, high.start + high.bytes, signal);
      factors.push(...[a, b].map(({ start, bytes }) => both.subarray(start - low.start, start - low.start + bytes)));
    } else {
      for (const { input, start, bytes } of [a, b]) factors.push(await readRange(inputs[input]!, start, start + bytes, signal));
    }
  }
  return factors;
}

async function readRange(input: BoundInput, start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
  const reader = openReader(input, start, end, signal);
  try {
    return await reader.take(end - start);
  } finally {
    reader.cancel();
  }
}
