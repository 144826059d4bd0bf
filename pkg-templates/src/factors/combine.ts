import type { Context } from "../context.js";
import { asLorafoldError, unlessAborted } from "../errors.js";
import { checkOptions } from "../options.js";
import { COMBINE_OPTIONS, COMBINE_SETTINGS } from "./options.js";
import { listAdapters, listed, picked } from "../prepare.js";
import { isDirectoryHandle } from "../sources/directory.js";
import { listingLimits } from "../sources/limits.js";
import { listSource } from "../sources/listing.js";
import type { CombineOptions, FactorsResult } from "../types.js";
import { checkMaking } from "./check.js";
import { make } from "./make.js";

/** See {@link Api.combine}. */
export async function combine(context: Context, options: CombineOptions): Promise<FactorsResult> {
  try {
    checkOptions("combine", options ?? {}, COMBINE_OPTIONS);
    checkMaking(options);
    const { adapters, inputs, sources } = await listAdapters(context, options);
    const settings = picked(options, COMBINE_SETTINGS);
    const { base } = options;
    if (base === undefined) return await make(context, { request: { adapters, combine: settings }, inputs, directories: sources.filter(isDirectoryHandle) }, options);
    const model = await unlessAborted(listSource(context.platform, base, "base", listingLimits(), options), options.signal);
    const request = { adapters, models: [listed(model)], combine: settings };
    return await make(context, { request, inputs: [...inputs, ...model.files], directories: [...sources, base].filter(isDirectoryHandle) }, options);
  } catch (error) {
    throw asLorafoldError(error);
  }
}
