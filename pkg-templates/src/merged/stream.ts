import { readFailed } from "../errors.js";
import type { Piece } from "../pieces.js";
import { openReader } from "../sources/bind.js";
import type { BoundInput } from "../sources/input.js";
import type { ByteReader } from "../sources/reader.js";
import { BaseStream } from "./base-stream.js";
import type { Factor, OpenMergedState } from "./open-state.js";

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
export async function* mergedBytes(state: OpenMergedState, file: number, start: number, end: number, signal?: AbortSignal, proven = false): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const { inputs } = state;
  let held: Uint8Array<ArrayBuffer>[] | undefined = proven ? [] : undefined;
  for (let at = start; at < end; ) {
    const run = JSON.parse(state.plan.run(file, at, end)) as Run;
    const { source } = run;
    const stream = source && new BaseStream(state.permits, (retryWait) => openReader(inputs[source.input]!, source.start, source.end, signal, retryWait), signal);
    try {
      while (at < run.end) {
        const [block, pieces] = held ? [Math.min(FIRST, state.block), 1] : [state.block, PIECES];
        for (const piece of JSON.parse(state.plan.pieces(file, at, run.end, block, pieces)) as Piece[]) {
          for await (const bytes of pieceBytes(state, file, piece, stream, block, signal)) {
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
      stream?.close();
    }
  }
  yield* held ?? [];
}

/** `first`: bytes of the first block. */
async function* pieceBytes(state: OpenMergedState, file: number, piece: Piece, stream: BaseStream | null, first: number, signal?: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  switch (piece.kind) {
    case "plan":
      yield (state.plan.planBytes(file) as Uint8Array<ArrayBuffer>).slice(piece.at, piece.at + piece.bytes);
      return;
    case "copy":
      for (let left = piece.bytes, most = first; left > 0; most = state.block) {
        const bytes = Math.min(most, left);
        left -= bytes;
        yield await stream!.take(bytes, (reader) => reader.take(bytes));
      }
      return;
    case "merge":
      yield await stream!.take(piece.baseBytes, (reader) => fold(state, piece, reader, signal));
  }
}

async function fold(state: OpenMergedState, piece: Piece & { kind: "merge" }, reader: ByteReader, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const { text, spec } = state.spec(piece.tensor);
  // Asked before a read begins, which whatever threw then would leave alone.
  const known = state.merger.hasFactors(spec.tensor);
  const reads = [reader.take(piece.baseBytes), known ? undefined : readFactors(state, spec.terms, signal)] as const;
  await Promise.allSettled(reads);
  const [base, factors] = await Promise.all(reads);
  // They may have made room for others' while the base was awaited.
  const missing = state.merger.hasFactors(spec.tensor) ? [] : (factors ?? (await readFactors(state, spec.terms, signal)));
  const { merger } = state;
  merger.foldGiven(text, piece.first, piece.count, missing, base);
  return new Uint8Array(state.memory.buffer as ArrayBuffer, merger.offset + piece.skip, piece.bytes).slice();
}

/** The bytes of every term's A and B, one after another; those that stand side by side come by one read. */
async function readFactors({ inputs }: OpenMergedState, terms: readonly { a: Factor; b: Factor }[], signal?: AbortSignal): Promise<Uint8Array[]> {
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
