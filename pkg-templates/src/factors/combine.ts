import type { Context } from "../context.js";
import { asLorafoldError } from "../errors.js";
import { checkOptions } from "../options.js";
import { COMBINE_OPTIONS, COMBINE_SETTINGS } from "./options.js";
import { listAdapters, picked } from "../prepare.js";
import { isDirectoryHandle } from "../sources/directory.js";
import type { CombineOptions, FactorsResult } from "../types.js";
import { checkMaking } from "./check.js";
import { make } from "./make.js";

/** See {@link Api.combine}. */
export async function combine(context: Context, options: CombineOptions): Promise<FactorsResult> {
  try {
    checkOptions("combine", options ?? {}, COMBINE_OPTIONS);
    checkMaking(options);
    const { adapters, inputs, sources } = await listAdapters(context, options);
    const request = { adapters, combine: picked(options, COMBINE_SETTINGS) };
    return await make(context, { request, inputs, directories: sources.filter(isDirectoryHandle) }, options);
  } catch (error) {
    throw asLorafoldError(error);
  }
}
