import type { AdapterOptions, OpenOptions } from "../types.js";
import { bytes, UsageError } from "./usage.js";

/** The flags that say what is merged, whatever is done with it. */
export const PLAN_FLAGS = {
  base: { type: "string" },
  adapter: { type: "string", multiple: true },
  method: { type: "string" },
  dtype: { type: "string" },
  rounding: { type: "string" },
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
  return {
    base: values.base,
    adapters: values.adapter.map(adapterOption),
    // The crate says which values there are.
    ...(values.dtype !== undefined && { dtype: values.dtype as NonNullable<OpenOptions["dtype"]> }),
    ...(values.method !== undefined && { method: values.method as "linear" }),
    ...(values.rounding !== undefined && { rounding: values.rounding as "nearest" }),
    ...(values.only !== undefined && { only: values.only }),
    ...(values.skip !== undefined && { skip: values.skip }),
    ...(size !== undefined && { maxShardSize: bytes("max-shard-size", size) }),
    allowUnmatched: values["allow-unmatched"] ?? false,
    allowNonfinite: values["allow-nonfinite"] ?? false,
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
