import type { Context } from "./context.js";
import { asLorafoldError } from "./errors.js";
import { prepare } from "./prepare.js";
import { lastReportOf } from "./report.js";
import type { PlanOptions, Report } from "./types.js";

/** See {@link Api.plan}. */
export async function plan(context: Context, options: PlanOptions): Promise<Report> {
  try {
    const prepared = await prepare(context, options);
    return await lastReportOf(context, prepared.plan);
  } catch (error) {
    throw asLorafoldError(error);
  }
}
