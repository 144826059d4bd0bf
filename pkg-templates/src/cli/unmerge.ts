import { unmerge } from "../node.js";
import { asPath } from "../node/source.js";
import { paintFor } from "./colour.js";
import { UNMERGE_FLAGS } from "./commands.js";
import { planOptions } from "./plan-flags.js";
import { counted, findingLines, firstOf } from "./text.js";
import { number, parse, UsageError } from "./usage.js";

/** `lorafold unmerge` */
export async function unmergeCommand(argv: string[]): Promise<number> {
  const { values, given } = parse(argv, UNMERGE_FLAGS);
  const { merged, out, force = false, workers, json } = values;
  if (merged === undefined) throw new UsageError("--merged is missing", "give the merged model as --merged PATH");
  if (out === undefined) throw new UsageError("--out is missing", "give the folder for the model without the adapters as --out DIR");
  const { base: _, ...options } = planOptions({ values: { ...values, base: merged }, given });
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    const result = await unmerge({ ...options, merged, output: asPath(out) ?? out, force, ...(workers !== undefined && { workers: number("workers", workers) }), signal: stop.signal });
    const { report, inexact = [] } = result;
    if (json) {
      console.log(JSON.stringify({ ...report, tensors: report.tensors, inexact }, null, 2));
      return 0;
    }
    const paint = paintFor(process.stdout);
    const lines = [`${paint("green", "unmerged")} ${counted(report.merged, "tensor")} of ${report.base.tensors} into ${paint("bold", out)}`];
    if (inexact.length === 0) lines.push("merged again, it is the same in every bit");
    else lines.push(`merged again, ${counted(inexact.length, "tensor")} would not be the same in every bit. If few elements differ, the merge's rounding has lost them; many mean that this adapter or this weight was not in it`);
    lines.push(...firstOf(inexact, ({ name, elements, inexact }) => `  ${name}: ${inexact} of ${counted(elements, "element")}`, (left) => `  … and ${left.length} more`));
    console.log([...lines, ...findingLines(report.findings, paint)].join("\n"));
    return 0;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}
