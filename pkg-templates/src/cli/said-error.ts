import type { ErrorFacts, LorafoldError } from "../errors.js";
import type { Paint } from "./colour.js";
import type { Flags } from "./flag.js";
import { flagOf, inFlags } from "./in-flags.js";

/** An error as `--json` prints it. */
export interface SaidError {
  code: string;
  message: string;
  tensor?: string;
  adapter?: string;
  facts?: ErrorFacts;
}

/** An error, for programs, in the words of a command's flags. */
export function saidError({ code, message, tensor, adapter, facts }: LorafoldError, flags: Flags): SaidError {
  return { code, message: inFlags(message, facts, flags), ...(tensor !== undefined && { tensor }), ...(adapter !== undefined && { adapter }), facts };
}

/** The same for people. */
export const errorLine = ({ code, message, facts }: LorafoldError, flags: Flags, paint: Paint): string => `lorafold: ${paint("red", `error [${code}]`)}: ${inFlags(message, facts, flags)}`;

/** Flags whose values are places: what is wrong there is seen when they are read. */
const PLACES = new Set(["base", "adapter", "merged", "out", "tuned", "report", "receipt"]);

/** Whether an error is the value of a flag, which no file can make right. What the system refused (a port that is taken) may be right later. */
export function isUsage({ code, detail, facts: { field, kind, file, found } }: LorafoldError, flags: Flags): boolean {
  if (code !== "bad-option" || field === undefined || kind !== undefined || file !== undefined || detail !== undefined) return false;
  const flag = flagOf(field, flags);
  // A pattern is right or wrong by itself, and another model may have what it matches.
  if ((flag === "only" || flag === "skip") && found === undefined) return false;
  return flag !== undefined && (!PLACES.has(flag) || /\.(weight|density)$/.test(field));
}
