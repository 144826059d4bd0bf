import type { Context } from "./context.js";
import { asLorafoldError, optionError } from "./errors.js";
import { merge } from "./merge.js";
import { MERGE_OPTIONS, type Names, checkOptions } from "./options.js";
import type { SourceLike, UnmergeOptions, UnmergeResult } from "./types.js";
import { verify } from "./verify.js";

const { base: _, unmerge: __, ...OTHERS } = MERGE_OPTIONS;
const UNMERGE_OPTIONS: Names<UnmergeOptions> = { ...OTHERS, merged: true };

/** See {@link Api.unmerge}. */
export async function unmerge(context: Context, options: UnmergeOptions): Promise<UnmergeResult> {
  try {
    checkOptions("unmerge", options ?? {}, UNMERGE_OPTIONS);
    const { merged, output, ...rest } = options;
    if ((merged ?? undefined) === undefined) throw optionError("merged", "not given");
    const result = await merge(context, { ...rest, ...(output !== undefined && { output }), base: merged, unmerge: true });
    // Merged again: what is not as it was, the roundings of the merge have lost.
    if (typeof output === "function") return result;
    const isFolder = typeof output === "string" ? output !== "blob" && output !== "opfs" : output !== undefined;
    const base = isFolder ? (output as SourceLike) : await Promise.all(result.files.map(async ({ name, blob }) => new File([await blob()], name)));
    const { force: _, statistics: __, memoryBudget: ___, allowNonfinite: ____, onProgress: _____, dtype: ______, ...expected } = rest;
    const { tensors } = await verify(context, { ...expected, base, merged });
    const changed = tensors.filter(({ merged, equal, elements }) => merged && equal < elements);
    return { ...result, inexact: changed.map(({ name, elements, equal }) => ({ name, elements, inexact: elements - equal })) };
  } catch (error) {
    throw asLorafoldError(error);
  }
}
