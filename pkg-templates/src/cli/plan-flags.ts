import { existsSync } from "node:fs";
import { asPath } from "../node/source.js";
import type { AdapterOptions, HubOptions, ModuleWeight, OpenOptions } from "../types.js";
import type { PLAN_FLAGS } from "./commands.js";
import { bytes, type Given, number, type Parsed, UsageError } from "./usage.js";

/** The options that the flags mean. */
export function planOptions({ values, given }: Pick<Parsed<typeof PLAN_FLAGS>, "values" | "given">): OpenOptions {
  if (values.base === undefined) throw new UsageError("--base is missing", 'give the base model as --base PATH');
  if (values.adapter === undefined) throw new UsageError("--adapter is missing", 'give an adapter as --adapter PATH');
  const size = values["max-shard-size"];
  const packing = values["expert-packing"] as AdapterOptions["expertPacking"];
  return {
    base: values.base,
    adapters: namedAdapters(given).map((adapter) => ({
      ...adapter,
      ...(values["out-proj"] !== undefined && { outProj: values["out-proj"] as NonNullable<AdapterOptions["outProj"]> }),
      ...(packing !== undefined && { expertPacking: packing }),
      ...(values["residual-base"] && { residualBase: true }),
    })),
    // The crate says which values there are.
    ...(values.dtype !== undefined && { dtype: values.dtype as NonNullable<OpenOptions["dtype"]> }),
    ...(values.method !== undefined && { method: values.method as NonNullable<OpenOptions["method"]> }),
    ...(values.density !== undefined && { density: number("density", values.density) }),
    ...(values["majority-sign"] !== undefined && { majoritySign: values["majority-sign"] as NonNullable<OpenOptions["majoritySign"]> }),
    ...(values.gamma !== undefined && { gamma: number("gamma", values.gamma) }),
    ...(values.epsilon !== undefined && { epsilon: number("epsilon", values.epsilon) }),
    ...(values.seed !== undefined && { seed: number("seed", values.seed) }),
    ...(values.normalize !== undefined && { normalize: values.normalize === "yes" }),
    ...(values.flavor !== undefined && { flavor: values.flavor as NonNullable<OpenOptions["flavor"]> }),
    ...(values.rounding !== undefined && { rounding: values.rounding as NonNullable<OpenOptions["rounding"]> }),
    ...(values.tied !== undefined && { tied: values.tied as NonNullable<OpenOptions["tied"]> }),
    ...(values.only !== undefined && { only: values.only }),
    ...(values.skip !== undefined && { skip: values.skip }),
    ...(size !== undefined && { maxShardSize: bytes("max-shard-size", size) }),
    ...(values.tokenizer !== undefined && { tokenizer: values.tokenizer as NonNullable<OpenOptions["tokenizer"]> }),
    ...(values["hash-base"] && { hashBase: true }),
    ...(values["expect-base"] !== undefined && { expectBase: values["expect-base"] }),
    ...(values.vocabulary !== undefined && { vocabulary: values.vocabulary as NonNullable<OpenOptions["vocabulary"]> }),
    allowUnmatched: values["allow-unmatched"] ?? false,
    allowUnmerged: values["allow-unmerged"] ?? false,
    allowNonfinite: values["allow-nonfinite"] ?? false,
    ...hubOptions(values["token-env"]),
  };
}

/** The hub's token from the environment variable that `--token-env` names: among a command's words all on the machine would see it. */
export function hubOptions(variable: string | undefined): { hub?: HubOptions } {
  if (variable === undefined) return {};
  const token = process.env[variable]?.trim();
  if (!token) throw new UsageError(`--token-env: there is no environment variable ${variable}, or it is empty`);
  return { hub: { token } };
}

/** Every adapter, also one of several in a folder, with what comes after it. */
export function namedAdapters(given: readonly Given[]): AdapterOptions[] {
  return adapterOptions(given).map(named);
}

/** What the flags say of the adapter before them. */
const OF_ADAPTER: Readonly<Record<string, (adapter: AdapterOptions, value: string) => void>> = {
  alpha(adapter, value) {
    if (adapter.alpha !== undefined) throw twice("alpha");
    adapter.alpha = number("alpha", value);
  },
  weights(adapter, value) {
    (adapter.weights ??= []).push(moduleWeight(value));
  },
  "block-weights"(adapter, value) {
    if (adapter.blockWeights !== undefined) throw twice("block-weights");
    adapter.blockWeights = value;
  },
  "adapter-only"(adapter, value) {
    adapter.only = [...(adapter.only ?? []), value];
  },
  "adapter-skip"(adapter, value) {
    adapter.skip = [...(adapter.skip ?? []), value];
  },
};

const twice = (flag: string): UsageError => new UsageError(`--${flag} is given twice for one adapter`, "give each after its --adapter");

/** Every adapter, with what comes after it. */
function adapterOptions(given: readonly Given[]): AdapterOptions[] {
  const adapters: AdapterOptions[] = [];
  for (const { name, value } of given) {
    if (name === "adapter") adapters.push(adapterOption(value));
    const say = Object.hasOwn(OF_ADAPTER, name) ? OF_ADAPTER[name] : undefined;
    if (!say) continue;
    const adapter = adapters.at(-1);
    if (!adapter) throw new UsageError(`--${name} is of the adapter before it, and there is none`, "give it after --adapter");
    say(adapter, value);
  }
  return adapters;
}

/** `REGEX=0.5`, `layers:0-7=0.5`, `blocks:MID=0.5`. */
function moduleWeight(text: string): ModuleWeight {
  const at = text.lastIndexOf("=");
  const [what, weight] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
  if (what === "" || !WEIGHT.test(weight)) throw new UsageError(`--weights ${text}: write PATTERN=NUMBER`, "such as mlp=0.5, layers:0-7=0.5 or blocks:MID=0.5");
  const [, kind, of] = /^(layers|blocks):(.*)$/s.exec(what) ?? [];
  return { ...(kind === undefined ? { match: what } : { [kind]: of }), weight: Number(weight) };
}

/** What a weight looks like. */
const WEIGHT = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Behind the name of a repository only this is a weight: dates, versions of digits and hashes are revisions. */
const SHORT_WEIGHT = /^[+-]?(\d{1,3}(\.\d*)?|\.\d+)$/;

/** `A@0.5:density=0.3`: what follows the last `:density=`, unless that is the name of a file. */
function adapterOption(text: string): AdapterOptions {
  const [, weighted, density] = /^(.+):density=(.*)$/.exec(text) ?? [];
  const [, before, other] = (density === undefined && /^(.+):(\w+)=[^/]*$/.exec(text)) || [];
  if (before !== undefined && !isThere(text) && (isThere(before) || isThere(before.replace(/@[^@]*$/, "")))) throw new UsageError(`--adapter ${text}: :${other} is not known`, "behind a weight there is :density, as in A@0.5:density=0.3");
  return weighted === undefined || isThere(text) ? weightedOption(text) : { ...weightedOption(weighted), density: number("adapter", density!) };
}

/** `A@0.5`: the weight is what follows the last @, where that is a number and no part of a name. */
function weightedOption(text: string): AdapterOptions {
  const at = text.lastIndexOf("@");
  if (at <= 0) return { source: text };
  const [source, weight] = [text.slice(0, at), text.slice(at + 1)];
  if (/^hf:\/\/[^@]*$/i.test(source)) return SHORT_WEIGHT.test(weight) ? { source, weight: Number(weight) } : { source: text };
  if (/^[+-]?(nan|inf(inity)?)$/i.test(weight)) throw new UsageError(`--adapter: the weight @${weight} is not a finite number`);
  if (!WEIGHT.test(weight)) {
    if (!isThere(text) && isThere(source)) throw new UsageError(`--adapter ${text}: @${weight} is not a weight`, "write a number behind the @, as in A@0.5");
    return { source: text };
  }
  if (!isThere(text)) return { source, weight: Number(weight) };
  if (isThere(source)) throw new UsageError(`--adapter ${text}: both ${text} and ${source} are there; ${text}@1 means the first`);
  return { source: text };
}

/** `A#NAME`: one of several adapters, unless that is the name of a file. */
function named(option: AdapterOptions): AdapterOptions {
  const source = option.source as string;
  const at = source.lastIndexOf("#");
  return at <= 0 || isThere(source) ? option : { ...option, source: source.slice(0, at), adapter: source.slice(at + 1) };
}

function isThere(source: string): boolean {
  const path = asPath(source);
  return path !== undefined && existsSync(path);
}
