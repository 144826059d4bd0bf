import type { Context } from "./context.js";
import type { AbortSignal } from "./globals.js";
import { inspect } from "./inspect.js";
import { merge } from "./merge.js";
import { openMerged } from "./merged/model.js";
import { plan } from "./plan.js";
import type { Description, MergedModel, MergeOptions, MergeResult, OpenOptions, PlanOptions, Report, SourceLike } from "./types.js";

/** The functions that every entry point exports, each bound to its own context. */
export interface Api {
  /**
   * What a base, an adapter or a merged model is: dtypes, shapes, scales, recipe.
   *
   * @throws {LorafoldError} when it is none of these, or broken.
   */
  inspect(source: SourceLike, options?: { signal?: AbortSignal }): Promise<Description>;
  /**
   * Fold the adapters into the base.
   *
   * @throws {LorafoldError} for everything that can go wrong; then nothing is left in the output.
   */
  merge(options: MergeOptions): Promise<MergeResult>;
  /**
   * The merged model as a folder that is nowhere: every byte is computed when it is read.
   *
   * @throws {LorafoldError} for everything that `plan` throws, and `no-range-support` where the base can only be read in one pass.
   */
  openMerged(options: OpenOptions): Promise<MergedModel>;
  /**
   * What `merge` would do, from headers and configurations alone: no weights are read and nothing is written. It may be given all that `merge` is given.
   *
   * @throws {LorafoldError} for everything that can be seen to go wrong.
   */
  plan(options: PlanOptions | MergeOptions): Promise<Report>;
}

/** The API on the context that `context` gives at the time of each call; what it throws rejects the call. */
export function createApi(context: () => Context): Api {
  return {
    inspect: async (source, options) => inspect(context(), source, options),
    merge: async (options) => merge(context(), options),
    openMerged: async (options) => openMerged(context(), options),
    plan: async (options) => plan(context(), options),
  };
}
