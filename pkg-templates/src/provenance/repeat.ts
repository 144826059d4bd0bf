import type { Context } from "../context.js";
import { asLorafoldError, checkSignal, fileError, throwIfAborted } from "../errors.js";
import { merge } from "../merge.js";
import { ADAPTER_SETTINGS, checkOptions, type Names, PLAN_SETTINGS } from "../options.js";
import { listingLimits } from "../sources/limits.js";
import { bind, openReader } from "../sources/bind.js";
import type { Role } from "../sources/input.js";
import { listSource } from "../sources/listing.js";
import type { AdapterOptions, MergeOptions, RepeatOptions, RepeatResult, SourceLike } from "../types.js";
import { hasherOf, StreamHashes } from "./hashes.js";
import { BUILD_TYPE, PROVENANCE, type Receipt, type ReceiptParameters, STATEMENT } from "./types.js";

const REPEAT_OPTIONS: Names<RepeatOptions> = { base: true, adapters: true, merged: true, workers: true, hub: true, onProgress: true, signal: true };

/** What a receipt is called in errors. */
const NAME = "the receipt";

/**
 * Read a receipt.
 *
 * @throws {LorafoldError} `bad-config` where it is none, or one of another tool.
 */
export function readReceipt(value: unknown): Receipt {
  const wrong = (why: string, found?: unknown) => fileError("bad-config", NAME, why, { ...(typeof found === "string" && { found }), fix: "give what a merge with a receipt has written" });
  const field = (object: unknown, name: string): unknown => (isObject(object) ? object[name] : undefined);
  if (field(value, "payloadType") !== undefined) throw wrong("this is an envelope with signatures: take the statement out of its payload (base64)");
  if (field(value, "_type") !== STATEMENT) throw wrong(`it is no in-toto statement: its _type is not ${STATEMENT}`, field(value, "_type"));
  if (field(value, "predicateType") !== PROVENANCE) throw wrong(`its predicate is not ${PROVENANCE}`, field(value, "predicateType"));
  const definition = field(field(value, "predicate"), "buildDefinition");
  if (field(definition, "buildType") !== BUILD_TYPE) throw wrong("it is of another build than a merge by lorafold", field(definition, "buildType"));
  const subject = field(value, "subject");
  const isFile = (file: unknown) => typeof field(file, "name") === "string" && /^[0-9a-f]{64}$/.test(String(field(field(file, "digest"), "sha256")));
  if (!(Array.isArray(subject) && subject.length > 0 && subject.every(isFile))) throw wrong("its subject is no list of files with their sha256");
  const names = new Set(subject.map((file) => (file as { name: string }).name));
  if (names.size < subject.length) throw wrong("its subject has a name twice");
  const parameters = field(definition, "externalParameters");
  const isOptional = (text: unknown) => text === undefined || typeof text === "string";
  const { adapters, options, base } = (isObject(parameters) ? parameters : {}) as Partial<ReceiptParameters>;
  if (!(isObject(options) && Array.isArray(adapters) && adapters.every((adapter) => isObject(adapter) && isOptional(adapter["source"])) && isOptional(base))) {
    throw wrong("its parameters are not those of a merge");
  }
  return value as Receipt;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * The options of the merge that a receipt is of. `sources`: where its base and its adapters are now; what is not given is where the receipt has it from.
 *
 * @throws {LorafoldError} `bad-config` for what is no receipt; `bad-option` where a source is neither given nor in the receipt, or one too many is given.
 */
export function mergeOptionsOf(receipt: unknown, sources: Pick<RepeatOptions, "base" | "adapters"> = {}): MergeOptions {
  const { options, adapters, base, allowNonfinite } = readReceipt(receipt).predicate.buildDefinition.externalParameters;
  const given = sources.adapters ?? [];
  if (given.length > adapters.length) throw fileError("bad-option", "adapters", `${given.length} are given, and the receipt has ${adapters.length}`);
  const found = (what: string, now: SourceLike | undefined, then: string | undefined): SourceLike => {
    const source = now ?? then;
    if (source === undefined) throw fileError("bad-option", what, "the receipt does not say where it is", { fix: "give it" });
    return source;
  };
  // What a receipt says is checked as what callers say: a name that nobody knows is of another version.
  const settings = <T extends object>(whose: string, values: T, names: Names<T>): T => {
    checkOptions(whose, values, names as Readonly<Record<string, true>>);
    return values;
  };
  return {
    ...settings("the receipt's merge", options, PLAN_SETTINGS),
    base: found("base", sources.base, base),
    adapters: adapters.map(({ source, ...asked }, number): AdapterOptions => ({ ...settings("the receipt's adapter", asked, ADAPTER_SETTINGS), source: found(`adapters[${number}]`, given[number], source) })),
    ...(allowNonfinite && { allowNonfinite: true }),
  };
}

/** See {@link Api.repeat}. */
export async function repeat(context: Context, value: unknown, options: RepeatOptions = {}): Promise<RepeatResult> {
  try {
    checkOptions("repeat", options, REPEAT_OPTIONS);
    const { base, adapters, merged, ...how } = options;
    checkSignal(how.signal);
    const receipt = readReceipt(value);
    const again = mergeOptionsOf(receipt, { ...(base !== undefined && { base }), ...(adapters !== undefined && { adapters }) });
    await checkAdapters(context, receipt, again, how);
    const hashes = new StreamHashes(await hasherOf(context.platform));
    const there = merged === undefined ? undefined : await hashesIn(context, merged, receipt.subject.map(({ name }) => name), how);
    const { files } = await merge(context, { ...again, ...how, output: hashes.around() });
    const expected = new Map(receipt.subject.map(({ name, digest }) => [name, digest.sha256]));
    const names = [...new Set([...expected.keys(), ...files.map(({ name }) => name)])];
    const compared = names.map((name) => {
      const [says, repeated, found] = [expected.get(name) ?? null, hashes.of(name) ?? null, there?.get(name) ?? null];
      return { name, expected: says, repeated, ...(there && { merged: found }), same: says === repeated && (!there || says === found) };
    });
    return { same: compared.every(({ same }) => same), files: compared };
  } catch (error) {
    throw asLorafoldError(error);
  }
}

/**
 * Before the merge: whether the adapters are the receipt's. Whole models, which are large, are told by the output.
 *
 * @throws {LorafoldError} `wrong-input` where one is not.
 */
async function checkAdapters(context: Context, receipt: Receipt, { adapters }: MergeOptions, how: RepeatOptions): Promise<void> {
  const { recipe } = receipt.predicate.buildDefinition.externalParameters as Partial<ReceiptParameters>;
  for (const [number, adapter] of adapters.entries()) {
    const files = recipe?.adapters?.[number]?.files;
    if (!Array.isArray(files) || files.length === 0) continue;
    const found = await hashesIn(context, (adapter as AdapterOptions).source, files.map(({ name }) => name), how, "adapter");
    for (const { name, sha256 } of files) {
      const hash = found.get(name);
      if (hash === undefined || hash === sha256) continue;
      throw fileError("wrong-input", `adapters[${number}]`, `it is not the receipt's: ${name} has sha256 ${hash}, the receipt says ${sha256}`, { found: hash, expected: sha256, fix: "give the adapter that was merged" });
    }
  }
}

/** The hashes of the files of a folder that are among `names`. */
async function hashesIn({ platform }: Context, source: SourceLike, names: readonly string[], { signal, hub }: RepeatOptions, role: Role = "base"): Promise<Map<string, string>> {
  const newHasher = await hasherOf(platform);
  const listing = await listSource(platform, source, role, listingLimits(), { ...(signal && { signal }), ...(hub !== undefined && { hub }) });
  const hashes = new Map<string, string>();
  for (const input of listing.files.filter(({ name }) => names.includes(name))) {
    const { name, size = 0 } = input;
    const hash = newHasher();
    const bound = bind(input, platform.bindInput);
    const reader = openReader(bound, 0, size, signal);
    try {
      for (let at = 0; at < size; ) {
        throwIfAborted(signal);
        const bytes = await reader.take(Math.min(STEP, size - at));
        hash.update(bytes);
        at += bytes.length;
      }
    } finally {
      reader.cancel();
      bound.close?.();
    }
    hashes.set(name, hash.hex());
  }
  return hashes;
}

/** Bytes read at a time. */
const STEP = 4 << 20;
