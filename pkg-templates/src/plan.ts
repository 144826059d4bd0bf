import { asLorafoldError } from "./errors.js";
import { prepare } from "./prepare.js";
import type { PlanOptions, Report } from "./types.js";

/**
 * What {@link merge} would do, from headers and configurations alone: no weights are read and nothing is written.
 *
 * @throws {LorafoldError} for everything that can be seen to go wrong.
 */
export async function plan(options: PlanOptions): Promise<Report> {
  try {
    const prepared = await prepare(options);
    try {
      return JSON.parse(prepared.plan.report("[]")) as Report;
    } finally {
      prepared.plan.free();
    }
  } catch (error) {
    throw asLorafoldError(error);
  }
}
