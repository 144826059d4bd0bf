import { access, constants, realpath, stat, writeFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { LorafoldError, thrown } from "../errors.js";
import { identity } from "../node/model-folder.js";
import { asPath } from "../node/source.js";
import { prepare } from "../prepare.js";
import type { PlannedFile } from "../sinks/sink.js";
import type { PlanOptions, Report } from "../types.js";

/**
 * Better to know before the merge than after it: the report must be written, and replace nothing that the merge reads or writes.
 *
 * @param output the merge's folder; `made`: it is made by the merge, where it is not there.
 * @throws {LorafoldError} `bad-option` where the report cannot go there.
 */
export async function checkReport(report: string, merge: PlanOptions, { output, made }: { output: string | undefined; made: boolean }): Promise<void> {
  const path = await realpath(report).catch(() => resolve(report));
  const folder = await identity(dirname(path));
  const target = output === undefined ? undefined : asPath(output);
  const inOutput = target !== undefined && (folder === undefined ? dirname(path) === target : folder === (await identity(target)));
  try {
    if ((await stat(path).catch(() => undefined))?.isDirectory()) throw new Error(`${report} is a folder`);
    if (folder !== undefined || !inOutput || !made) await access(dirname(path), constants.W_OK);
  } catch (error) {
    throw reportFailed(error);
  }
  const there = await identity(path);
  if (there === undefined && !inOutput) return;
  const { plan, inputs } = await prepare(merge);
  try {
    for (const { path: input } of there === undefined ? [] : inputs) {
      if (input !== undefined && (await identity(input)) === there) throw reportFailed(new Error(`${report} is a file that the merge reads`));
    }
    const files = JSON.parse(plan.files()) as PlannedFile[];
    if (inOutput && files.some(({ name }) => name === basename(path))) throw reportFailed(new Error(`${report} is a file of the merged model`));
  } finally {
    plan.free();
  }
}

/** Write a report where {@link checkReport} found that it can go. */
export async function writeReport(path: string, report: Report): Promise<void> {
  await writeFile(path, `${JSON.stringify(report, null, 2)}\n`).catch((error: unknown) => {
    throw reportFailed(error);
  });
}

function reportFailed(error: unknown): LorafoldError {
  return new LorafoldError("bad-option", `report: ${thrown(error).message}`, { detail: error });
}
