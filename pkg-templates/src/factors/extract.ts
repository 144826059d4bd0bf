import type { Context } from "../context.js";
import { asLorafoldError, optionError, unlessAborted } from "../errors.js";
import { checkOptions } from "../options.js";
import { EXTRACT_OPTIONS, EXTRACT_SETTINGS } from "./options.js";
import { listed, picked } from "../prepare.js";
import { isDirectoryHandle } from "../sources/directory.js";
import { listingLimits } from "../sources/limits.js";
import { listSource } from "../sources/listing.js";
import type { ExtractOptions, FactorsResult } from "../types.js";
import { checkMaking } from "./check.js";
import { make } from "./make.js";

/** See {@link Api.extract}. */
export async function extract(context: Context, options: ExtractOptions): Promise<FactorsResult> {
  try {
    checkOptions("extract", options ?? {}, EXTRACT_OPTIONS);
    for (const name of ["base", "tuned"] as const) if ((options[name] ?? undefined) === undefined) throw optionError(name, "not given");
    checkMaking(options);
    const sources = [options.base, options.tuned];
    const limits = listingLimits();
    const listings = Promise.all(sources.map((source) => listSource(context.platform, source, "base", limits, options))).catch((error: unknown) => {
      limits.turns.stop(error);
      throw error;
    });
    const models = await unlessAborted(listings, options.signal);
    const request = { models: models.map((model) => listed(model)), extract: picked(options, EXTRACT_SETTINGS) };
    return await make(context, { request, inputs: models.flatMap(({ files }) => files), directories: sources.filter(isDirectoryHandle) }, options);
  } catch (error) {
    throw asLorafoldError(error);
  }
}
