import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Context } from "../context.js";
import { asLorafoldError, fileError, optionError, part, unlessAborted, wrongValue } from "../errors.js";
import { shareOf, wholeFiles } from "../file-ranges.js";
import { fill } from "../merge.js";
import { checkOptions, MERGE_OPTIONS, type Names } from "../options.js";
import { prepare } from "../prepare.js";
import { lastReportOf } from "../report.js";
import type { MergedFile, MergeOptions, PlanOptions, Receipt, ReceiptMetadata, Report } from "../types.js";
import { partial } from "./hidden.js";
import { inputStates } from "./input-states.js";
import { identity } from "./model-folder.js";
import { PartSink } from "./part-sink.js";
import { mergedFiles, publish } from "./publish.js";
import { isPart, MOST_PARTS, type Receipt as PartReceipt } from "./receipt.js";
import { hashRange, markFinished, readFinished, readReceipts, refusal, refuseForeign, removeReceipt, removeReceipts } from "./receipts.js";
import { asPath } from "./source.js";

/** Share number `part`, counted from 1, of `of` equal shares of the output. */
export interface Part {
  part: number;
  of: number;
}

/** What `mergePart` needs: `output` is a folder that all machines share. */
export type PartOptions = Omit<MergeOptions, "output" | "statistics"> & { output: string };

/** What `finishParts` gives: the files of the model, with the receipt where one was asked for. */
export type FinishedFiles = MergedFile[] & { receipt?: Receipt };

/** What `finishParts` may be given. */
export interface FinishOptions {
  /** What was merged: the parts must be those of this merge. */
  merge?: PlanOptions | MergeOptions;
  /**
   * Give a receipt of the model, as `merge` does. It needs `merge`, and parts that were merged with `receipt`, too (or `hashBase`): their files record the base's hashes.
   *
   * @default false
   */
  receipt?: boolean | ReceiptMetadata;
  /**
   * Replace the model that is in the folder.
   *
   * @default false
   */
  force?: boolean;
}

const { statistics: _, ...PART_OPTIONS } = MERGE_OPTIONS;
const PART: Names<Part> = { part: true, of: true };
const FINISH_OPTIONS: Names<FinishOptions> = { merge: true, force: true, receipt: true };

/** The result of `mergePart`. */
export interface PartResult extends Part {
  /** What all parts of one merge have in common. */
  identity: string;
  /** Bytes written. */
  bytes: number;
}

/** See `mergePart` of `lorafold` in Node. */
export async function mergePart(context: Context, options: PartOptions, share: Part): Promise<PartResult> {
  try {
    checkOptions("the part", share ?? {}, PART);
    const { part, of } = share ?? {};
    if (share === undefined) throw optionError("part", "not given", { fix: "give { part: 1, of: 2 } beside the options" });
    if (!isPart(part, of)) throw optionError("part", `${part} of ${of} is not a part: there are ${MOST_PARTS} at most`, { found: `${part} of ${of}`, expected: `parts 1 to n of n, which is ${MOST_PARTS} at most` });
    const folder = asPath(options?.output);
    if (folder === undefined) throw wrongValue("output", options?.output, "a folder");
    // The files of all parts record the same of the base.
    const prepared = await prepare(context, "mergePart", options.receipt ? { ...options, hashBase: true } : options, PART_OPTIONS);
    try {
      const { plan, inputs } = prepared;
      const files = plan.files();
      const wanted = shareOf(wholeFiles(files), part, of);
      const identity = plan.identity();
      const states = await unlessAborted(inputStates(inputs), options.signal);
      const sink = new PartSink(folder, { identity, part, of, wanted, force: options.force ?? false, inputs, states });
      await fill(context, prepared, files, wanted, sink, { ...options, statistics: false });
      return { part, of, identity, bytes: wanted.reduce((sum, { start, end }) => sum + end - start, 0) };
    } finally {
      prepared.plan.free();
    }
  } catch (error) {
    throw asLorafoldError(error);
  }
}

/** See `finishParts` of `lorafold` in Node. */
export async function finishParts(context: Context, output: string, options: FinishOptions = {}): Promise<FinishedFiles> {
  try {
    checkOptions("finishParts", options ?? {}, FINISH_OPTIONS);
    const { merge, force = false, receipt = false } = options ?? {};
    if (typeof receipt !== "boolean" && (typeof receipt !== "object" || receipt === null)) throw wrongValue("receipt", receipt, "true or false, or an object");
    if (receipt && !merge) throw optionError("merge", "a receipt says what was merged: give it");
    const folder = asPath(output) ?? output;
    if ((await identity(folder)) === undefined) throw optionError("output", `${folder} does not exist`, { kind: "not-found", file: folder });
    const finished = await readFinished(folder);
    const receipts = finished ? [finished] : await readReceipts(folder);
    const [first] = receipts;
    if (!first) throw fileError("truncated", folder, "no part of a model is there");
    const planned = merge && (await plannedAs(context, receipt ? { ...merge, hashBase: true, receipt } : merge));
    const wanted = { of: first.of, ...(planned ?? first) };
    for (const receipt of receipts) {
      const refused = refusal(folder, receipt, wanted);
      if (refused) throw refused;
    }
    if (!finished) await complete(folder, receipts, first, force);
    for (const { name, size } of first.files) {
      const found = await stat(join(folder, name)).catch(() => undefined);
      if (found?.size !== size) throw fileError("truncated", join(folder, name), "it is not what the parts wrote", { fix: "merge the parts again", expected: `${size} bytes`, found: found ? `${found.size} bytes` : "nothing" });
    }
    const files: FinishedFiles = mergedFiles(folder, first.files);
    if (receipt && planned) {
      const { receiptOfFiles } = await part(import("../provenance/receipt.js"));
      files.receipt = await receiptOfFiles(context, planned.merge, planned.report, files);
    }
    await removeReceipts(folder);
    return files;
  } catch (error) {
    throw asLorafoldError(error);
  }
}

/** How many missing parts an error names. */
const NAMED = 20;

/** Check every part, then rename the files to their final names. */
async function complete(folder: string, receipts: readonly PartReceipt[], first: PartReceipt, force: boolean): Promise<void> {
  const there = new Set(receipts.map(({ part }) => part));
  const missing = Array.from({ length: first.of }, (_, index) => index + 1).filter((part) => !there.has(part));
  if (missing.length > 0) {
    const more = missing.length > NAMED ? ` and ${missing.length - NAMED} more` : "";
    throw fileError("truncated", folder, `of ${first.of} parts these are missing: ${missing.slice(0, NAMED).join(", ")}${more}`);
  }
  for (const receipt of receipts) await check(folder, receipt);
  // A `finishParts` that was interrupted may have renamed some of them already.
  const unnamed = [];
  for (const file of first.files) if (await exists(join(folder, partial(file.name)))) unnamed.push(file);
  if (!force) await refuseForeign(folder, first.files);
  await publish(folder, unnamed, { force: force && unnamed.length === first.files.length });
  await markFinished(folder, first);
}

/** The identity and the input states that all parts of a merge share, and its report. */
async function plannedAs(context: Context, merge: MergeOptions): Promise<Pick<PartReceipt, "identity" | "inputs"> & { merge: MergeOptions; report: Report }> {
  const { plan, inputs } = await prepare<MergeOptions>(context, "merge", merge, MERGE_OPTIONS);
  try {
    return { identity: plan.identity(), inputs: await inputStates(inputs), merge, report: await lastReportOf(context, plan) };
  } catch (error) {
    plan.free();
    throw error;
  }
}

/** Check that the bytes of a part are what it wrote. Where they are not, its receipt is removed, so that the part counts as missing. */
async function check(folder: string, receipt: PartReceipt): Promise<void> {
  for (const { file, start, end, sha256 } of receipt.written) {
    const hidden = join(folder, partial(file));
    const path = (await exists(hidden)) ? hidden : join(folder, file);
    const found = await hashRange(path, start, end).catch(() => undefined);
    if (found === sha256) continue;
    await removeReceipt(folder, receipt);
    throw fileError("truncated", path, `bytes ${start} to ${end} are not what part ${receipt.part} of ${receipt.of} wrote`, { fix: "merge that part again" });
  }
}

const exists = async (path: string): Promise<boolean> => (await stat(path).catch(() => undefined)) !== undefined;
