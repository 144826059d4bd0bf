import { readFailed } from "../errors.js";
import type { Piece } from "../schema.js";
import { openReader } from "../sources/bind.js";
import type { ByteReader } from "../sources/reader.js";
import { BaseStream } from "./base-stream.js";
import type { OpenMergedState } from "./open-state.js";
import { readSpans, sameSpans } from "./spans.js";

/** Pieces that are asked of the plan at once. */
const PIECES = 64;

/** Bytes that are computed first where somebody waits for them to know whether the base can be read. */
const FIRST = 64 << 10;

/**
 * The bytes `start` up to `end` of an output file, block by block, each computed when it is asked for. The base is read as few runs as there
 * can be: one, wherever the output has the order of the base. `proven`: the plan's own bytes come when those of the base are there.
 */
export async function* mergedBytes(state: OpenMergedState, file: number, start: number, end: number, signal?: AbortSignal, proven = false): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const { inputs } = state;
  let held: Uint8Array<ArrayBuffer>[] | undefined = proven ? [] : undefined;
  for (let at = start; at < end; ) {
    const run = state.plan.run(file, at, end);
    const { source } = run;
    const stream = source && new BaseStream(state.permits, source.start, (retryWait) => openReader(inputs[source.input]!, source.start, source.end, signal, retryWait), signal);
    try {
      while (at < run.end) {
        const [block, pieces] = held ? [Math.min(FIRST, state.block), 1] : [state.block, PIECES];
        for (const piece of state.plan.pieces(file, at, run.end, block, pieces)) {
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
      yield state.plan.plannedBytes(file, piece.at, piece.at + piece.bytes) as Uint8Array<ArrayBuffer>;
      return;
    case "copy":
      for (let left = piece.bytes, most = first; left > 0; most = state.block) {
        const bytes = Math.min(most, left);
        left -= bytes;
        yield await stream!.take(piece.start + piece.bytes - left - bytes, bytes, (reader) => reader.take(bytes));
      }
      return;
    case "compute":
      await gatherFacts(state, piece.program, signal);
      yield await stream!.take(piece.reads[0]!.start, piece.reads[0]!.bytes, (reader) => compute(state, piece, reader, signal));
  }
}

/** Compute a piece. The first of its reads comes from the stream, which is at its bytes. */
async function compute(state: OpenMergedState, piece: Piece & { kind: "compute" }, reader: ByteReader, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const { program, first, count, skip, bytes, reads } = piece;
  const [streamed, ...side] = reads;
  // Asked before a read begins, which whatever threw then would leave alone.
  const missing = state.mergerWith(program).missingOperands(program, first, count);
  const running = [reader.take(streamed!.bytes), readSpans(state, side, signal), readSpans(state, missing, signal)] as const;
  await Promise.allSettled(running);
  const [base, others, operands] = await Promise.all(running);
  // They may have made room for others' while the base was awaited.
  const still = state.mergerWith(program).missingOperands(program, first, count);
  const given = sameSpans(still, missing) ? operands : await readSpans(state, still, signal);
  const merger = state.mergerWith(program);
  merger.computeGiven(program, first, count, [base, ...others], given);
  return new Uint8Array(state.memory.buffer as ArrayBuffer, merger.offset + skip, bytes).slice();
}

/**
 * Gather what the program must know of its whole weight, unless that is known. Readers that need it at the same time each do so, for in some edge
 * runtimes a request cannot wait for what another one reads.
 */
async function gatherFacts(state: OpenMergedState, program: number, signal?: AbortSignal): Promise<void> {
  for (let jobs = state.plan.factJobs(program); jobs.length > 0; jobs = state.plan.factJobs(program)) {
    const round = state.plan.factRounds(program);
    for (const { first, count, reads } of jobs) {
      const missing = state.mergerWith(program).missingOperands(program, first, count);
      const [base, operands] = await state.permits.run(async () => [await readSpans(state, reads, signal), await readSpans(state, missing, signal)] as const, signal);
      const still = state.mergerWith(program).missingOperands(program, first, count);
      const given = sameSpans(still, missing) ? operands : await readSpans(state, still, signal);
      // Another reader may have ended the round meanwhile.
      if (state.plan.factRounds(program) !== round) break;
      state.plan.addFacts(program, state.mergerWith(program).gatherGiven(program, first, count, base, given));
    }
  }
}
