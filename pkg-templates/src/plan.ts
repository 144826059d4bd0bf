import type { Context } from "./context.js";
import { asLorafoldError } from "./errors.js";
import { MERGE_OPTIONS } from "./options.js";
import { prepare } from "./prepare.js";
import { lastReportOf } from "./report.js";
import type { MergeOptions, PlanOptions, Report } from "./types.js";

/** See {@link Api.plan}. */
export async function plan(context: Context, options: PlanOptions | MergeOptions): Promise<Report> {
  try {
    const prepared = await prepare<MergeOptions>(context, "plan", options, MERGE_OPTIONS);
    return await lastReportOf(context, prepared.plan);
  } catch (error) {
    throw asLorafoldError(error);
  }
}
