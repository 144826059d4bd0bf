import { access, constants, readlink, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { type About, LorafoldError, optionError, platformFacts, thrown } from "../errors.js";
import { nodeContext } from "../node/context.js";
import { writeFailed } from "../node/files.js";
import { newToken, partial } from "../node/hidden.js";
import { identity } from "../node/model-folder.js";
import { absolute, asPath } from "../node/source.js";
import { MERGE_OPTIONS } from "../options.js";
import { prepare } from "../prepare.js";
import { reportText } from "../report.js";
import type { MergeOptions, PlanOptions, Report } from "../types.js";

/** Files that this process has open already: opening them again may be refused, or truncate them. */
const OPEN = new Map<string, NodeJS.WritableStream>([["/dev/stdout", process.stdout], ["/dev/stderr", process.stderr]]);

/**
 * Check before the merge that the report can be written, and replaces nothing that the merge reads or writes.
 *
 * @param output the merge's folder; `made`: it is made by the merge, where it is not there.
 * @throws {LorafoldError} `bad-option` where the report cannot go there.
 */
export async function checkReport(report: string, merge: PlanOptions, { output, made, option = "report" }: { output: string | undefined; made: boolean; option?: Written }): Promise<void> {
  if (OPEN.has(report)) return;
  const unfit = unfitFor(option);
  try {
    const path = await destination(report);
    const folder = await identity(dirname(path));
    const given = output === undefined ? undefined : asPath(output);
    const target = given === undefined ? undefined : await destination(given);
    const inOutput = target !== undefined && (folder === undefined ? dirname(path) === target : folder === (await identity(target)));
    const there = await stat(report).catch(() => undefined);
    if (there?.isDirectory()) throw unfit(report, `${report} is a folder`);
    if (target === path || target?.startsWith(path + sep)) throw unfit(report, `${report} is a folder that the merge makes`);
    if (there) await access(report, constants.W_OK);
    else if (folder !== undefined || !inOutput || !made) await access(dirname(path), constants.W_OK);
    if (there || inOutput) await refuseFiles(report, path, merge, inOutput, option);
  } catch (error) {
    throw refused(report, error, unfit);
  }
}

/** Refuse a report that is a file which the merge reads, or a file of its output. */
async function refuseFiles(report: string, path: string, merge: PlanOptions, inOutput: boolean, option: Written): Promise<void> {
  const unfit = unfitFor(option);
  const there = await identity(path);
  const { plan, inputs } = await prepare<MergeOptions>(nodeContext, "merge", merge, MERGE_OPTIONS);
  try {
    for (const { path: input } of there === undefined ? [] : inputs) {
      if (input !== undefined && (await identity(input)) === there) throw unfit(report, `${report} is a file that the merge reads`);
    }
    const files = plan.files();
    if (inOutput && files.some(({ name }) => name === basename(path))) throw unfit(report, `${report} is a file of the merged model`);
  } finally {
    plan.free();
  }
}

/** The most links that are followed, as in operating systems. */
const MOST_LINKS = 40;

/** The real path that a write would go to, also where nothing exists there yet. Writing follows broken links. */
async function destination(given: string): Promise<string> {
  let path = absolute(given);
  for (let links = 0; links < MOST_LINKS; links++) {
    const folder = await realpath(dirname(path)).catch(() => dirname(path));
    path = join(folder, basename(path));
    const next = await readlink(path).catch(() => undefined);
    if (next === undefined) return path;
    path = resolve(folder, next);
  }
  throw unfitFor("report")(given, `${given}: too many links`);
}

/** Write a report after {@link checkReport}: all of it, or nothing. */
export const writeReport = (report: string, content: Report): Promise<void> => writeParts(report, linesOf(content));

/** Write a text, in parts, to a file that was checked as reports are: all of it, or nothing. */
export async function writeParts(file: string, parts: Iterable<string>): Promise<void> {
  const open = OPEN.get(file);
  if (open) return print(open, parts);
  try {
    const path = await destination(file);
    if (await isWrittenInPlace(file, path)) return await writeFile(file, parts);
    const beside = join(dirname(path), partial("lorafold-report", newToken()));
    try {
      await writeFile(beside, parts);
      await rename(beside, path);
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
  } catch (error) {
    throw writeFailed(file, error);
  }
}

/** Write a report to a stream that stays open, until its reader closes it. What else goes wrong there the stream itself tells. */
export const printReport = (stream: NodeJS.WritableStream, report: Report): Promise<void> => print(stream, linesOf(report));

async function print(stream: NodeJS.WritableStream, parts: Iterable<string>): Promise<void> {
  for (const part of parts) {
    const failed = await new Promise<unknown>((resolve) => stream.write(part, resolve));
    if (failed) return;
  }
}

/** Characters of a report that are written at a time. */
const PART = 1 << 16;

/** The text of a report and a line feed, in parts of about {@link PART} characters. */
function* linesOf(report: Report): Generator<string> {
  let part = "";
  for (const text of reportText(report)) {
    part += text;
    if (part.length < PART) continue;
    yield part;
    part = "";
  }
  yield `${part}\n`;
}

/** Whether no temporary file and rename are possible: for devices, open files (`/dev/fd/3`), and files in a read-only folder. */
async function isWrittenInPlace(report: string, path: string): Promise<boolean> {
  const there = await stat(report).catch(() => undefined);
  if (!there) return false;
  return !there.isFile() || /^\/(dev|proc)\//.test(resolve(report)) || !(await access(dirname(path), constants.W_OK).then(() => true, () => false));
}

/** The options that name a file which is written beside the model. */
type Written = "report" | "receipt";
type Unfit = (file: string, reason: string, about?: About) => LorafoldError;

/** Why the file of an option cannot go there. */
const unfitFor = (option: Written): Unfit => (file, reason, about = {}) => optionError(option, reason, { file, ...about });

/** What the operating system says of the folder in which the file is to be. */
const SAYS: Readonly<Record<string, string>> = { ENOENT: "there is no such folder to write it to", ENOTDIR: "it would be below a file", EACCES: "it may not be written there", EROFS: "it may not be written there" };

/** What the operating system refuses, as an error about the option; whatever else was thrown as it is. */
function refused(report: string, error: unknown, unfit: Unfit): unknown {
  const { code, message } = thrown(error);
  return error instanceof LorafoldError || typeof code !== "string" ? error : unfit(report, `${report}: ${SAYS[code] ?? message}`, platformFacts(error));
}
