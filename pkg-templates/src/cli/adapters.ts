import { combine, extract } from "../node.js";
import { asPath } from "../node/source.js";
import type { CombineOptions, ExtractOptions, FactorsReport, FactorsResult, MakeOptions } from "../types.js";
import { paintFor, type Paint } from "./colour.js";
import { COMBINE_FLAGS, EXTRACT_FLAGS } from "./commands.js";
import { hubOptions, namedAdapters } from "./plan-flags.js";
import { ProgressLine } from "./progress.js";
import { counted, duration, findingLines, firstOf, rounded } from "./text.js";
import { number, parse, UsageError } from "./usage.js";

/** `lorafold combine` */
export async function combineCommand(argv: string[]): Promise<number> {
  const { values, given } = parse(argv, COMBINE_FLAGS);
  if (values.adapter === undefined) throw new UsageError("--adapter is missing", "give an adapter as --adapter PATH");
  const { base, density, method } = values;
  const sign = values["majority-sign"];
  const options = {
    adapters: namedAdapters(given),
    ...(base !== undefined && { base }),
    ...(method !== undefined && { method: method as NonNullable<CombineOptions["method"]> }),
    ...(density !== undefined && { density: number("density", density) }),
    ...(sign !== undefined && { majoritySign: sign as NonNullable<CombineOptions["majoritySign"]> }),
  };
  return run(values, (making) => combine({ ...options, ...making }));
}

/** `lorafold extract` */
export async function extractCommand(argv: string[]): Promise<number> {
  const { values } = parse(argv, EXTRACT_FLAGS);
  const { base, tuned, others, only, skip } = values;
  if (base === undefined) throw new UsageError("--base is missing", "give the base model as --base PATH");
  if (tuned === undefined) throw new UsageError("--tuned is missing", "give the fine-tuned model as --tuned PATH");
  const options = {
    base,
    tuned,
    ...(others !== undefined && { others: others as NonNullable<ExtractOptions["others"]> }),
    ...(only !== undefined && { only }),
    ...(skip !== undefined && { skip }),
  };
  return run(values, (making) => extract({ ...options, ...making }));
}

/** The flags of both. */
interface Given {
  out?: string;
  rank?: string;
  energy?: string;
  seed?: string;
  dtype?: string;
  workers?: string;
  "token-env"?: string;
  force?: boolean;
  json?: boolean;
  quiet?: boolean;
}

/** What both take beside their inputs. */
type Making = MakeOptions & Pick<CombineOptions & ExtractOptions, "rank" | "energy" | "seed" | "dtype">;

async function run(given: Given, make: (options: Making) => Promise<FactorsResult>): Promise<number> {
  const { out, rank, energy, seed, dtype, workers, json = false, quiet = false, force = false } = given;
  if (out === undefined) throw new UsageError("--out is missing", "give the folder for the adapter as --out DIR");
  const options: Making = {
    ...hubOptions(given["token-env"]),
    ...(rank !== undefined && { rank: number("rank", rank) }),
    ...(energy !== undefined && { energy: number("energy", energy) }),
    ...(seed !== undefined && { seed: number("seed", seed) }),
    ...(dtype !== undefined && { dtype: dtype as NonNullable<CombineOptions["dtype"]> }),
    ...(workers !== undefined && { workers: number("workers", workers) }),
    // Always a folder: the API's words for other places ("blob", "opfs") are names of folders here.
    output: asPath(out) ?? out,
    force,
  };
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const line = quiet ? undefined : new ProgressLine(process.stderr);
  try {
    const begun = performance.now();
    const { report } = await make({ ...options, signal: stop.signal, onProgress: (progress) => line?.show(progress) });
    line?.end();
    if (json) console.log(JSON.stringify(report, null, 2));
    else console.log(reportText(report, out, (performance.now() - begun) / 1000, paintFor(process.stdout)));
    return 0;
  } finally {
    line?.end();
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

const percent = (share: number): string => `${rounded(100 * share)} %`;

/** What was made, for people. */
function reportText({ modules, others, rank, dtype, method, findings }: FactorsReport, out: string, seconds: number, paint: Paint): string {
  const ranks = modules.map((module) => module.rank);
  const [least, most] = [ranks.reduce((a, b) => Math.min(a, b), rank), ranks.reduce((a, b) => Math.max(a, b), rank)];
  const lines = [`${paint("green", method)}: ${counted(modules.length, "module")} of rank ${least === most ? rank : `${least} to ${most}`} in ${dtype} into ${paint("bold", out)} (${duration(seconds)})`];
  const total = modules.reduce((sum, { norm }) => sum + norm ** 2, 0);
  const kept = modules.reduce((sum, { norm, energy }) => sum + norm ** 2 * energy, 0);
  const worst = modules.reduce((a, b) => (b.energy < a.energy ? b : a));
  if (total > 0 && worst.energy < 1) lines.push(`energy kept: ${percent(kept / total)} in all, ${percent(worst.energy)} in the worst module (${worst.module})`);
  const far = modules.reduce((a, b) => ((b.deviation ?? 0) > (a.deviation ?? 0) ? b : a));
  if ((far.deviation ?? 0) > 1e-6) lines.push(`farthest from the exact weighted sum: ${percent(far.deviation!)} (${far.module})`);
  const [saved, left] = [others.filter(({ saved }) => saved), others.filter(({ saved }) => !saved)];
  for (const [what, tensors] of [["brought along as a whole", saved], ["left out", left]] as const) {
    if (tensors.length === 0) continue;
    lines.push(`${what}: ${counted(tensors.length, "tensor")}`);
    lines.push(...firstOf(tensors, ({ tensor, norm }) => `  ${tensor}${norm === undefined ? "" : `, changed by ${rounded(norm)}`}`, (rest) => `  … and ${rest.length} more`));
  }
  return [...lines, ...findingLines(findings, paint)].join("\n");
}
