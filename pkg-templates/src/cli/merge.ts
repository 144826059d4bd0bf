import { merge, plan } from "../node.js";
import { refuseOccupied, replaced } from "../node/model-folder.js";
import { asPath } from "../node/source.js";
import { checkWorkOptions } from "../merge.js";
import type { MergeOptions, Report } from "../types.js";
import { paintFor } from "./colour.js";
import { MERGE_FLAGS, PLAN_FLAGS } from "./commands.js";
import type { Values } from "./flag.js";
import { nextSteps } from "./next-steps.js";
import { finishCommand, mergePartCommand, partOption } from "./parts.js";
import { planOptions } from "./plan-flags.js";
import { checkReport, printReport, writeParts, writeReport } from "./report.js";
import { planText, resultText } from "./text.js";
import { ProgressLine } from "./progress.js";
import { bytes, number, parse, type Parsed, UsageError } from "./usage.js";

/** Beside those that say which merge the parts must be of. */
const FINISH_FLAGS: ReadonlySet<string> = new Set(["finish", "out", "force", "receipt", "json", "quiet"] satisfies (keyof typeof MERGE_FLAGS)[]);

/** `lorafold merge` */
export async function mergeCommand(argv: string[]): Promise<number> {
  const parsed = parse(argv, MERGE_FLAGS);
  const { values } = parsed;
  const { json = false, quiet = false, force = false, part } = values;
  if (values.finish) {
    if (values.out === undefined) throw outMissing();
    const given = Object.keys(values);
    const idle = given.find((flag) => !(flag in PLAN_FLAGS || FINISH_FLAGS.has(flag)));
    if (idle !== undefined) throw new UsageError(`--finish goes without --${idle}`);
    // What was merged is given as a whole or not at all.
    const checked = given.some((flag) => flag in PLAN_FLAGS);
    const { receipt } = values;
    if (receipt !== undefined && !checked) throw new UsageError("--finish goes with --receipt only where it says what was merged", "give --base, --adapter and the options of the parts, too");
    const merged = checked ? planOptions(parsed) : undefined;
    if (receipt !== undefined && merged) await checkReport(receipt, merged, { output: values.out, made: true, option: "receipt" });
    return finishCommand(asPath(values.out) ?? values.out, merged, { json, force, receipt });
  }
  const options = mergeOptions(parsed);
  if (values.out === undefined && !values["dry-run"]) throw outMissing();
  const share = part === undefined ? undefined : partOption(part);
  if (share && values.report !== undefined) throw new UsageError("--part goes without --report: statistics are of whole tensors");
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const dry = values["dry-run"] ?? false;
  const paint = paintFor(process.stdout);
  try {
    for (const option of ["report", "receipt"] as const) {
      const file = values[option];
      // That of parts is written when they are all there.
      if (file !== undefined && !share) await checkReport(file, { ...options, signal: stop.signal }, { output: values.out, made: !dry, option });
    }
    if (dry) {
      checkWorkOptions(options);
      const planned = await plan({ ...options, signal: stop.signal });
      // Parts find the files of others there.
      if (values.out !== undefined && !share) await checkRoom(values.out, planned.files, force);
      await print(planned, values, () => planText(planned, paint));
      return 0;
    }
    if (share) {
      const { statistics: _, ...partOptions } = options;
      return await mergePartCommand({ ...partOptions, output: values.out!, signal: stop.signal }, share, { json, quiet });
    }
    const line = quiet ? undefined : new ProgressLine(process.stderr);
    try {
      const begun = performance.now();
      const { report, receipt } = await merge({ ...options, signal: stop.signal, onProgress: (progress) => line?.show(progress) });
      line?.end();
      const seconds = (performance.now() - begun) / 1000;
      if (values.receipt !== undefined) await writeParts(values.receipt, [`${JSON.stringify(receipt, null, 2)}\n`]);
      const next = values.json ? [] : await nextSteps(values.out!);
      await print(report, values, () => resultText(report, { out: values.out!, seconds, next }, paint));
    } finally {
      line?.end();
    }
    return 0;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

const outMissing = () => new UsageError("--out is missing", "give the folder for the merged model as --out DIR, or --dry-run for the plan alone");

function mergeOptions(parsed: Parsed<typeof MERGE_FLAGS>): MergeOptions {
  const { values } = parsed;
  const budget = values["memory-budget"];
  return {
    ...planOptions(parsed),
    // Always a folder: the API's words for other places ("blob", "opfs") are names of folders here.
    ...(values.out !== undefined && { output: asPath(values.out) ?? values.out }),
    ...(budget !== undefined && { memoryBudget: bytes("memory-budget", budget) }),
    ...(values.workers !== undefined && { workers: number("workers", values.workers) }),
    force: values.force ?? false,
    ...(values.receipt !== undefined && { receipt: true }),
    // They cost time, so only where someone will see them.
    statistics: values.report !== undefined || (values.json ?? false),
  };
}

/** What a merge would find in its folder. */
async function checkRoom(out: string, files: Report["files"], force: boolean): Promise<void> {
  const folder = asPath(out) ?? out;
  if (force) await replaced(folder, files.map(({ name }) => name));
  else await refuseOccupied(folder);
}

async function print(report: Report, values: Values<typeof MERGE_FLAGS>, text: () => string): Promise<void> {
  if (values.report !== undefined) await writeReport(values.report, report);
  if (values.json) await printReport(process.stdout, report);
  else console.log(text());
}
