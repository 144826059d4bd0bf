import { LorafoldError, wrongValue } from "./errors.js";
import { nearest } from "./nearest.js";
import type { AdapterSettings, PlanSettings } from "./schema.js";
import type { AdapterOptions, HubOptions, InspectOptions, MergeOptions, OpenOptions, PlanOptions, ReadOptions, RemoteFolder, ResponseOptions } from "./types.js";

/** The names of all options of a type. The compiler refuses a list that lacks one, or has one that the type has not. */
export type Names<T> = Readonly<Record<keyof T, true>>;

/** The settings that the crate knows: what else callers give (a signal, functions) stays here. */
export const PLAN_SETTINGS: Names<PlanSettings> = { dtype: true, method: true, density: true, majoritySign: true, gamma: true, epsilon: true, normalize: true, flavor: true, rounding: true, seed: true, tied: true, only: true, skip: true, maxShardSize: true, allowUnmatched: true, allowUnmerged: true, tokenizer: true, hashBase: true, expectBase: true, evidence: true, vocabulary: true, unmerge: true };
export const ADAPTER_SETTINGS: Names<AdapterSettings> = { weight: true, density: true, alpha: true, adapter: true, residualBase: true, outProj: true, expertPacking: true, weights: true, blockWeights: true, only: true, skip: true };

export const PLAN_OPTIONS: Names<PlanOptions> = { base: true, adapters: true, hub: true, signal: true, ...PLAN_SETTINGS };
export const OPEN_OPTIONS: Names<OpenOptions> = { ...PLAN_OPTIONS, allowNonfinite: true };
export const MERGE_OPTIONS: Names<MergeOptions> = { ...OPEN_OPTIONS, output: true, workers: true, memoryBudget: true, onProgress: true, statistics: true, receipt: true, force: true };
export const ADAPTER_OPTIONS: Names<AdapterOptions> = { source: true, name: true, ...ADAPTER_SETTINGS };
export const INSPECT_OPTIONS: Names<InspectOptions> = { signal: true, hub: true, hash: true };
export const HUB_OPTIONS: Names<HubOptions> = { endpoint: true, token: true };
export const READ_OPTIONS: Names<ReadOptions> = { signal: true };
export const RESPONSE_OPTIONS: Names<ResponseOptions> = { onError: true };
export const REMOTE_FOLDER: Names<RemoteFolder> = { url: true, headers: true };

/** Options that are yes or no, whosever they are: a text such as "false" would be taken for yes. */
const BOOLEANS = new Set(["allowNonfinite", "allowUnmatched", "allowUnmerged", "evidence", "force", "hash", "hashBase", "normalize", "residualBase", "statistics", "unmerge"]);
/** Options that are texts. An adapter may have several patterns. */
const TEXTS = new Set(["adapter", "blockWeights", "dtype", "expertPacking", "expectBase", "flavor", "majoritySign", "method", "name", "only", "others", "outProj", "rounding", "skip", "tied", "tokenizer", "vocabulary"]);

/**
 * Refuse what `whose` options would ignore: names that it does not know, and what is no object with options; and values of another type than the option has.
 *
 * @throws {LorafoldError} `bad-option`
 */
export function checkOptions(whose: string, given: unknown, known: Readonly<Record<string, true>>): void {
  if (typeof given !== "object" || given === null) throw wrongValue("options", given, `an object with the options of ${whose}`);
  // Inherited names too: those of an AbortSignal that was given instead of `{ signal }` are its class's.
  for (const name in given) {
    if (Object.hasOwn(known, name)) {
      checkType(whose, name, Reflect.get(given, name), Object.hasOwn(known, "blockWeights"));
      continue;
    }
    const names = Object.keys(known);
    const meant = nearest(name, names);
    const fix = meant === undefined ? `there ${names.length === 1 ? "is" : "are"} ${names.join(", ")}` : `did you mean ${meant}?`;
    throw new LorafoldError("bad-option", `${whose} has no option ${name}; ${fix}`, { field: name, found: name, fix, ...(meant !== undefined && { expected: meant }) });
  }
}

function checkType(whose: string, name: string, value: unknown, ofAdapter: boolean): void {
  if (value === undefined) return;
  const field = whose.startsWith("adapters[") ? `${whose}.${name}` : name;
  if (BOOLEANS.has(name) && typeof value !== "boolean") throw wrongValue(field, value, "true or false");
  if ((name === "gamma" || name === "epsilon") && typeof value !== "number") throw wrongValue(field, value, "a number");
  if (name === "weights" && !Array.isArray(value)) throw wrongValue(field, value, "an array");
  if (!TEXTS.has(name)) return;
  const isPattern = name === "only" || name === "skip";
  const texts: unknown[] = ofAdapter && isPattern && Array.isArray(value) ? value : [value];
  for (const text of texts) if (typeof text !== "string") throw wrongValue(field, text, isPattern ? "a text (the source of a regular expression)" : "a text");
}
