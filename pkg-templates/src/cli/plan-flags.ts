import { existsSync } from "node:fs";
import { asPath } from "../node/source.js";
import type { AdapterOptions, OpenOptions } from "../types.js";
import { bytes, UsageError } from "./usage.js";

/** The flags that say what is merged, whatever is done with it. */
export const PLAN_FLAGS = {
  base: { type: "string" },
  adapter: { type: "string", multiple: true },
  method: { type: "string" },
  dtype: { type: "string" },
  rounding: { type: "string" },
  tied: { type: "string" },
  "expert-packing": { type: "string" },
  "max-shard-size": { type: "string" },
  "allow-unmatched": { type: "boolean" },
  "allow-nonfinite": { type: "boolean" },
  only: { type: "string" },
  skip: { type: "string" },
} as const;

/** Their values, as `parseArgs` gives them. */
type PlanValues = { [flag in keyof typeof PLAN_FLAGS]?: (typeof PLAN_FLAGS)[flag] extends { multiple: true } ? string[] : (typeof PLAN_FLAGS)[flag]["type"] extends "string" ? string : boolean };

/** The options they mean. */
export function planOptions(command: string, values: PlanValues): OpenOptions {
  if (values.base === undefined) throw new UsageError(`${command}: --base is missing`);
  if (!values.adapter?.length) throw new UsageError(`${command}: --adapter is missing`);
  const size = values["max-shard-size"];
  const packing = values["expert-packing"] as AdapterOptions["expertPacking"];
  return {
    base: values.base,
    adapters: values.adapter.map((text) => ({ ...adapterOption(text), ...(packing !== undefined && { expertPacking: packing }) })),
    // The crate says which values there are.
    ...(values.dtype !== undefined && { dtype: values.dtype as NonNullable<OpenOptions["dtype"]> }),
    ...(values.method !== undefined && { method: values.method as "linear" }),
    ...(values.rounding !== undefined && { rounding: values.rounding as "nearest" }),
    ...(values.tied !== undefined && { tied: values.tied as NonNullable<OpenOptions["tied"]> }),
    ...(values.only !== undefined && { only: values.only }),
    ...(values.skip !== undefined && { skip: values.skip }),
    ...(size !== undefined && { maxShardSize: bytes("max-shard-size", size) }),
    allowUnmatched: values["allow-unmatched"] ?? false,
    allowNonfinite: values["allow-nonfinite"] ?? false,
  };
}

/** What a weight looks like. */
const WEIGHT = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Behind the name of a repository only this is a weight: dates, versions of digits and hashes are revisions. */
const SHORT_WEIGHT = /^[+-]?(\d{1,3}(\.\d*)?|\.\d+)$/;

/** `A@0.5`: the weight is what follows the last @, where that is a number and no part of a name. */
function adapterOption(text: string): AdapterOptions {
  const at = text.lastIndexOf("@");
  if (at <= 0) return { source: text };
  const [source, weight] = [text.slice(0, at), text.slice(at + 1)];
  if (/^hf:\/\/[^@]*$/i.test(source)) return SHORT_WEIGHT.test(weight) ? { source, weight: Number(weight) } : { source: text };
  if (/^[+-]?(nan|inf(inity)?)$/i.test(weight)) throw new UsageError(`--adapter ${text}: the weight is not a finite number`);
  if (!WEIGHT.test(weight)) return { source: text };
  if (!isThere(text)) return { source, weight: Number(weight) };
  if (isThere(source)) throw new UsageError(`--adapter ${text}: both ${text} and ${source} are there; ${text}@1 means the first`);
  return { source: text };
}

function isThere(source: string): boolean {
  const path = asPath(source);
  return path !== undefined && existsSync(path);
}
