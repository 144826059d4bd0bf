import { access, constants, stat, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { LorafoldError, merge, plan } from "../node.js";
import type { AdapterOptions, MergeOptions, Report } from "../types.js";
import { planText, resultText } from "./text.js";
import { ProgressLine } from "./progress.js";
import { bytes, number, parse, UsageError } from "./usage.js";

const FLAGS = {
  base: { type: "string" },
  adapter: { type: "string", multiple: true },
  out: { type: "string" },
  method: { type: "string" },
  dtype: { type: "string" },
  rounding: { type: "string" },
  "max-shard-size": { type: "string" },
  workers: { type: "string" },
  "memory-budget": { type: "string" },
  "allow-unmatched": { type: "boolean" },
  "allow-nonfinite": { type: "boolean" },
  only: { type: "string" },
  skip: { type: "string" },
  "dry-run": { type: "boolean" },
  json: { type: "boolean" },
  report: { type: "string" },
  force: { type: "boolean" },
  quiet: { type: "boolean" },
} as const;

/** `lorafold merge` */
export async function mergeCommand(argv: string[]): Promise<number> {
  const { values } = parse({ args: argv, options: FLAGS });
  if (values.base === undefined) throw new UsageError("merge: --base is missing");
  if (!values.adapter?.length) throw new UsageError("merge: --adapter is missing");
  if (values.out === undefined && !values["dry-run"]) throw new UsageError("merge: --out is missing");
  const options = mergeOptions(values);
  if (values.report !== undefined) await checkReport(values.report);
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    if (values["dry-run"]) {
      const planned = await plan({ ...options, signal: stop.signal });
      await print(planned, values, planText(planned));
      return 0;
    }
    const line = values.quiet ? undefined : new ProgressLine(process.stderr);
    try {
      const { report } = await merge({ ...options, signal: stop.signal, onProgress: (progress) => line?.show(progress) });
      line?.end();
      await print(report, values, resultText(report, values.out!));
    } finally {
      line?.end();
    }
    return 0;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

type Values = ReturnType<typeof parse<{ options: typeof FLAGS }>>["values"];

function mergeOptions(values: Values): MergeOptions {
  const size = values["max-shard-size"];
  const budget = values["memory-budget"];
  return {
    base: values.base!,
    adapters: values.adapter!.map(adapterOption),
    ...(values.out !== undefined && { output: values.out }),
    // The crate says which values there are.
    ...(values.dtype !== undefined && { dtype: values.dtype as NonNullable<MergeOptions["dtype"]> }),
    ...(values.method !== undefined && { method: values.method as "linear" }),
    ...(values.rounding !== undefined && { rounding: values.rounding as "nearest" }),
    ...(values.only !== undefined && { only: values.only }),
    ...(values.skip !== undefined && { skip: values.skip }),
    ...(size !== undefined && { maxShardSize: bytes("max-shard-size", size) }),
    ...(budget !== undefined && { memoryBudget: bytes("memory-budget", budget) }),
    ...(values.workers !== undefined && { workers: number("workers", values.workers) }),
    allowUnmatched: values["allow-unmatched"] ?? false,
    allowNonfinite: values["allow-nonfinite"] ?? false,
    force: values.force ?? false,
    // They cost time, so only where someone will see them.
    statistics: values.report !== undefined || (values.json ?? false),
  };
}

/** `A@0.5`: the weight is what follows the last @, where that is a number (`hf://org/name@revision` has an @ of its own). */
function adapterOption(text: string): AdapterOptions {
  const at = text.lastIndexOf("@");
  const weight = at > 0 ? text.slice(at + 1) : "";
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(weight)) return { source: text.slice(0, at), weight: Number(weight) };
  if (/^[+-]?(nan|inf(inity)?)$/i.test(weight)) throw new UsageError(`--adapter ${text}: the weight is not a finite number`);
  return { source: text };
}

/** Better to know before the merge than after it. */
async function checkReport(path: string): Promise<void> {
  try {
    await access(dirname(resolve(path)), constants.W_OK);
    if ((await stat(path).catch(() => undefined))?.isDirectory()) throw new Error(`${path} is a folder`);
  } catch (error) {
    throw reportFailed(error);
  }
}

function reportFailed(error: unknown): LorafoldError {
  return new LorafoldError("bad-option", `report: ${(error as Error).message}`, { detail: error });
}

async function print(report: Report, values: Values, text: string): Promise<void> {
  if (values.report !== undefined) {
    await writeFile(values.report, `${JSON.stringify(report, null, 2)}\n`).catch((error: unknown) => {
      throw reportFailed(error);
    });
  }
  console.log(values.json ? JSON.stringify(report, null, 2) : text);
}
