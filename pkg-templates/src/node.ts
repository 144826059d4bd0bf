/**
 * The API of `lorafold` in Node: that of browsers, and merges in parts on many machines.
 *
 * @module lorafold (Node)
 */
import { type Api, createApi } from "./api.js";
import { setDefaultContext } from "./default-context.js";
import { nodeContext } from "./node/context.js";
import * as parts from "./node/parts.js";
import type { FinishedFiles, FinishOptions, Part, PartOptions, PartResult } from "./node/parts.js";

setDefaultContext(nodeContext);

const api = createApi(() => nodeContext);

/** {@inheritDoc Api.inspect} @function */
export const inspect: Api["inspect"] = api.inspect;
/** {@inheritDoc Api.combine} @function */
export const combine: Api["combine"] = api.combine;
/** {@inheritDoc Api.extract} @function */
export const extract: Api["extract"] = api.extract;
/** {@inheritDoc Api.merge} @function */
export const merge: Api["merge"] = api.merge;
/** {@inheritDoc Api.openMerged} @function */
export const openMerged: Api["openMerged"] = api.openMerged;
/** {@inheritDoc Api.repeat} @function */
export const repeat: Api["repeat"] = api.repeat;
/** {@inheritDoc Api.plan} @function */
export const plan: Api["plan"] = api.plan;
/** {@inheritDoc Api.unmerge} @function */
export const unmerge: Api["unmerge"] = api.unmerge;
/** {@inheritDoc Api.verify} @function */
export const verify: Api["verify"] = api.verify;

/**
 * Merge one share of the output into a folder, so that any system that runs a command many times can spread one model over many
 * machines. A share that is merged twice is the same bytes. {@link finishParts} checks and completes.
 *
 * @throws {LorafoldError} as {@link merge}; `bad-option` where the folder has a model or parts of another merge, `source-changed` where it has parts of another
 * state of the base.
 */
export function mergePart(options: PartOptions, share: Part): Promise<PartResult> {
  return parts.mergePart(nodeContext, options, share);
}

/**
 * Check that every part of a folder is there and on the disk as it was written, then give the files their names. `merge` says what was merged:
 * then the parts must be those of this merge, and `receipt` may be asked for. With `force` they replace the model that is in the folder.
 *
 * @throws {LorafoldError} `source-changed` where the parts are of several states of the base, `truncated` where a part is missing or damaged, which is then to be merged again.
 */
export function finishParts(output: string, options?: FinishOptions): Promise<FinishedFiles> {
  return parts.finishParts(nodeContext, output, options);
}

export type { FinishedFiles, FinishOptions, Part, PartOptions, PartResult } from "./node/parts.js";
export { LorafoldError, type ErrorCode, type ErrorFacts, type ErrorKind } from "./errors.js";
export type { Api } from "./api.js";
export type * from "./types.js";
