import { collectBuffers } from "./collection.js";
import type { Context } from "./context.js";
import { asLorafoldError, optionError, part, throwIfAborted, unlessAborted, wrongValue } from "./errors.js";
import { blockBytes, type Plan } from "./lorafold.js";
import { Facts } from "./facts.js";
import { type FileRange, shareOf, wholeFiles } from "./file-ranges.js";
import { MERGE_OPTIONS } from "./options.js";
import { checkNumber, type Prepared, prepare } from "./prepare.js";
import { lastReportOf } from "./report.js";
import type { Piece, Span } from "./schema.js";
import { openSink } from "./sinks/open.js";
import type { PlannedFile, Sink } from "./sinks/sink.js";
import type { MergeOptions, MergeResult } from "./types.js";
import type { Job } from "./workers/protocol.js";
import { type RunJob, WorkerPool } from "./workers/worker-pool.js";

/** A piece of an output file and the job that makes it (none where the plan holds its bytes). */
type Task = { file: number; piece: Piece; job?: Job };

/** See {@link Api.merge}. */
export async function merge(context: Context, options: MergeOptions): Promise<MergeResult> {
  try {
    // A receipt without the hash of the base would not say what was merged.
    const prepared = await prepare(context, "merge", options?.receipt ? { ...options, hashBase: true } : options, MERGE_OPTIONS);
    try {
      return await run(context, prepared, options);
    } catch (error) {
      prepared.plan.free();
      throw error;
    }
  } catch (error) {
    throw asLorafoldError(error);
  }
}

async function run(context: Context, prepared: Prepared, options: MergeOptions): Promise<MergeResult> {
  const { plan } = prepared;
  if (options.onProgress !== undefined && typeof options.onProgress !== "function") throw optionError("onProgress", "not a function");
  const { receipt: wanted = false } = options;
  if (typeof wanted !== "boolean" && (typeof wanted !== "object" || wanted === null)) throw wrongValue("receipt", wanted, "true or false, or an object");
  const receipted = wanted === false ? undefined : await (await part(import("./provenance/receipt.js"))).receipted(context, options);
  const { output = "blob" } = receipted ?? options;
  const files = plan.files();
  const sink = await openSink(context.platform, output, options.force ?? false, prepared);
  const finished = await fill(context, prepared, files, wholeFiles(files), sink, options);
  const result = { files: finished, report: await lastReportOf(context, plan) };
  return receipted ? { ...result, receipt: await receipted.receipt(result) } : result;
}

/** Compute the wanted bytes of the files into the sink, which is aborted when something fails. The plan gets the statistics of each block. */
export async function fill<T>(
  { platform, engine }: Context,
  prepared: Prepared,
  files: PlannedFile[],
  wanted: FileRange[],
  sink: Sink<T>,
  options: MergeOptions,
): Promise<T> {
  const { plan, inputs, used } = prepared;
  let pool: WorkerPool | undefined;
  try {
    checkWorkOptions(options);
    const block = blockBytes(options.memoryBudget);
    await unlessAborted(sink.open(files), options.signal);
    // A server without ranges is read in one pass, so by one worker.
    const onePass = inputs.some((input) => input.ranges === false);
    pool = new WorkerPool(platform, await engine(), plan, inputs, onePass ? 1 : options.workers, options.allowNonfinite ?? false);
    await runTasks(prepared, files, wanted, block, sink, pool, options);
    pool.stop(undefined);
    // Only files whose bytes were used must be unchanged.
    await platform.checkInputs?.(inputs.filter((_, number) => used.has(number)));
    throwIfAborted(options.signal);
    return await sink.finish();
  } catch (error) {
    pool?.stop(error);
    await sink.abort();
    throw error;
  }
}

/** The most workers that may be asked for. */
const MOST_WORKERS = 1024;

/** @throws {LorafoldError} `bad-option` where one of the options is not a number that it can be. */
export function checkWorkOptions({ workers, memoryBudget }: Pick<MergeOptions, "workers" | "memoryBudget">): void {
  checkNumber("workers", workers, (count) => Number.isInteger(count) && 0 <= count && count <= MOST_WORKERS, `a whole number up to ${MOST_WORKERS}`);
  checkNumber("memoryBudget", memoryBudget, (bytes) => bytes >= 0, "a number of bytes");
}

/** Run all tasks on the pool. */
async function runTasks(
  { plan, inputs, used }: Prepared,
  files: PlannedFile[],
  wanted: FileRange[],
  block: number,
  sink: Sink<unknown>,
  pool: WorkerPool,
  { signal, onProgress, statistics = false }: MergeOptions,
): Promise<void> {
  const facts = new Facts(plan);
  // Workers that write the files themselves have a share each: two that write one file at once wait for each other, and both would pack the
  // factors of each weight. Any other sink takes the bytes in order.
  const shares = sink.target ? pool.size : 1;
  const tasks = Array.from({ length: shares }, (_, share) => planTasks(plan, shareOf(wanted, share + 1, shares), block, sink, statistics));
  const total = wanted.reduce((sum, { start, end }) => sum + end - start, 0);
  let bytes = 0;

  const done = async (file: number, piece: Piece) => {
    bytes += piece.bytes;
    // A merge that was stopped reports no more progress.
    // What it rejects with, where it is asynchronous, is the failure of the merge.
    if (!signal?.aborted) await onProgress?.({ bytes, total, file: files[file]!.name });
  };

  const perform = async ({ file, piece, job }: Task, runJob: RunJob): Promise<void> => {
    for (const { input } of job?.reads ?? []) used.add(input);
    if (piece.kind === "plan") {
      await sink.write(file, piece.at, plan.plannedBytes(file, piece.at, piece.at + piece.bytes) as Uint8Array<ArrayBuffer>);
    } else if (piece.kind === "copy" && !job!.target && inputs[piece.input]!.blob) {
      await sink.write(file, piece.at, inputs[piece.input]!.blob!.slice(piece.start, piece.start + piece.bytes));
    } else {
      if (piece.kind === "compute") {
        const { program } = piece;
        await facts.gather(program, async (fact) => (await runJob({ kind: "gather", program, ...fact })).facts!);
      }
      const result = await runJob(job!);
      if (piece.kind === "compute") result.statistics?.forEach((found) => plan.addStatistics(piece.program, found));
      if (result.bytes) collectBuffers();
      const made = result.blob ?? (result.bytes && new Uint8Array(result.bytes));
      if (made) await sink.write(file, piece.at, made);
    }
    await done(file, piece);
  };

  await unlessAborted(pool.runAll<Task>(tasks, perform), signal);
}

/** A task for every piece of the wanted bytes, in their order; copies are cut into blocks. */
function* planTasks(plan: Plan, wanted: FileRange[], block: number, sink: Sink<unknown>, statistics: boolean): Generator<Task> {
  for (const { file, start, end } of wanted) {
    for (const piece of eachPiece(plan, file, start, end, block)) {
      switch (piece.kind) {
        case "plan":
          yield { file, piece };
          break;
        case "copy":
          yield* copyTasks(file, piece, block, sink);
          break;
        case "compute": {
          const { at, ...work } = piece;
          yield { file, piece, job: { ...work, statistics, ...destination(sink, file, at) } };
        }
      }
    }
  }
}

/** Pieces that the plan gives at a time: of a model with many tensors all of them take more memory than the plan. */
const PIECES = 1000;

function* eachPiece(plan: Plan, file: number, start: number, end: number, block: number): Generator<Piece> {
  for (let at = start; at < end; ) {
    const pieces = plan.pieces(file, at, end, block, PIECES);
    yield* pieces;
    const last = pieces.at(-1)!;
    at = last.at + last.bytes;
  }
}

function* copyTasks(file: number, piece: Piece & { kind: "copy" }, block: number, sink: Sink<unknown>): Generator<Task> {
  for (let done = 0; done < piece.bytes; done += block) {
    const bytes = Math.min(block, piece.bytes - done);
    const part = { ...piece, at: piece.at + done, start: piece.start + done, bytes };
    const reads: [Span] = [{ input: piece.input, start: part.start, bytes }];
    yield { file, piece: part, job: { kind: "copy", bytes, reads, ...destination(sink, file, part.at) } };
  }
}

/** Where a job's bytes go, when the sink does not take them itself. */
function destination(sink: Sink<unknown>, file: number, at: number): Pick<Job, "target" | "asBlob"> {
  const target = sink.target?.(file, at);
  return { ...(target && { target }), ...(sink.keepsBlobs && { asBlob: true }) };
}
