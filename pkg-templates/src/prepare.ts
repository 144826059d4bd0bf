import type { Context } from "./context.js";
import type { Wasm } from "./engine.js";
import { checkSignal, fileError, LorafoldError, optionError, throwIfAborted, unlessAborted, wrongValue } from "./errors.js";
import { Plan } from "./lorafold.js";
import { ADAPTER_OPTIONS, ADAPTER_SETTINGS, checkOptions, type Names, PLAN_SETTINGS } from "./options.js";
import type { AdapterRequest, AdapterSettings, ListedFolder, PlanRequest } from "./schema.js";
import { nearest } from "./nearest.js";
import { bind } from "./sources/bind.js";
import { isDirectoryHandle } from "./sources/directory.js";
import type { Platform } from "./platform.js";
import type { BoundInput, Input, Listing } from "./sources/input.js";
import { type ListingLimits, listingLimits } from "./sources/limits.js";
import { RandomReader } from "./sources/reader.js";
import { listSource } from "./sources/listing.js";
import type { AdapterListing } from "./sources/several.js";
import { hashed } from "./sources/hashed.js";
import { address } from "./sources/address.js";
import { holdsModel, mayBeWeights } from "./sources/weights.js";
import type { AdapterOptions, MergeOptions, PlanOptions, SourceLike } from "./types.js";
import { type Planned, planInWorker } from "./workers/planner.js";

/** A plan and the inputs that it refers to by number. */
export interface Prepared extends Planned {
  inputs: Input[];
  /** Numbers of the inputs that were read, for the plan or for the output. */
  used: Set<number>;
  /** The sources that were given as directory handles. */
  directories: FileSystemDirectoryHandle[];
}

/**
 * List every source and make the plan. `known` are the options of the function `whose` they are. `tagged`: a worker
 * that makes the plan gives the entity tags of its files, too.
 *
 * @throws {LorafoldError} for everything that headers, configurations and options can show to be wrong.
 */
export async function prepare<T extends PlanOptions & Pick<MergeOptions, "workers">>(context: Context, whose: string, options: T, known: Names<T>, tagged = false): Promise<Prepared> {
  const adapters = checkPlanOptions(whose, options, known);
  const { signal } = options;
  const prepared = async (): Promise<Prepared> => {
    const { platform } = context;
    const { wasm, request, inputs, directories } = await listAll(context, adapters, options);
    const used = new Set<number>();
    const bound = inputs.map((input, number) => noting(bind(input, platform.bindInput), () => used.add(number)));
    try {
      const moved = platform.plansInWorker && options.workers !== 0 ? await planInWorker(platform, wasm, request, bound, tagged, signal) : undefined;
      const planned = moved ?? { plan: await Plan.open(request, bound.map(hashed), signal) };
      // The first bytes of files were kept for the plan alone: merging reads the file as it is then.
      return { ...planned, inputs: inputs.map(({ head: _, ...input }) => input), used, directories };
    } finally {
      for (const input of bound) input.close?.();
    }
  };
  return unlessAborted(prepared(), signal);
}

/**
 * The adapters among the options, which are checked as far as they can be here.
 *
 * @throws {LorafoldError} `bad-option`, `aborted`
 */
export function checkPlanOptions<T extends PlanOptions>(whose: string, options: T, known: Names<T>): AdapterOptions[] {
  checkOptions(whose, options ?? {}, known);
  if ((options?.base ?? undefined) === undefined) throw optionError("base", "not given");
  const adapters = checkedAdapters(options, "and the base would be written as the merge");
  checkDensity(options.density);
  checkNumber("seed", options.seed, (seed) => Number.isSafeInteger(seed) && seed >= 0, "a whole number from 0 to 2^53 - 1");
  checkNumber("maxShardSize", options.maxShardSize, (bytes) => Number.isSafeInteger(bytes) && bytes > 0, "a number of bytes");
  return adapters;
}

/** What a plan is made of, and the sources beside it. */
export interface Listed {
  wasm: Wasm;
  request: PlanRequest;
  /** Those of the request, then those of `beside`. */
  inputs: Input[];
  /** The sources that were given as directory handles. */
  directories: FileSystemDirectoryHandle[];
  /** Other models. */
  beside: Listing[];
}

/** List the base, the adapters, and other models `beside` them. */
export async function listAll({ platform, engine }: Context, adapters: AdapterOptions[], options: PlanOptions, beside: SourceLike[] = []): Promise<Listed> {
  const limits = listingLimits(platform.adapterBytes ?? HELD_BYTES);
  // All at the same time: each waits for its turn to make a request.
  const listings = async () => {
    const models = Promise.all([options.base, ...beside].map((source) => listSource(platform, source, "base", limits, options)));
    const folders = Promise.all(adapters.map((adapter, number) => openAdapter(platform, adapter, number, limits, options)));
    return Promise.all([models, folders]).catch((error: unknown) => {
      limits.turns.stop(error);
      throw error;
    });
  };
  const [[[base, ...others], opened], wasm] = await Promise.all([listings(), engine()]);
  const directories = [options.base, ...adapters.map(({ source }) => source)].filter(isDirectoryHandle);
  const inputs = [base!, ...opened.map(({ listing }) => listing), ...others].flatMap((folder) => folder.files);
  const request: PlanRequest = { base: listed(base!), adapters: adapterRequests(adapters, opened), options: picked(options, PLAN_SETTINGS) };
  return { wasm, request, inputs, directories, beside: others };
}

/** The adapters among the options; `otherwise` says what would come of none. */
function checkedAdapters({ adapters, signal }: Pick<PlanOptions, "adapters" | "signal">, otherwise: string): AdapterOptions[] {
  const given: unknown = adapters ?? [];
  if (!Array.isArray(given)) throw optionError("adapters", "not an array", { fix: "give an array, also of one adapter" });
  if (given.length === 0) throw optionError("adapters", `none is given, ${otherwise}`, { fix: "give at least one" });
  checkSignal(signal);
  throwIfAborted(signal);
  const checked = adapters.map(asAdapter);
  for (const [number, { weight, alpha, density }] of checked.entries()) {
    const whose = `${nth(number)}.`;
    checkDensity(density, whose);
    checkNumber(`${whose}weight`, weight, Number.isFinite, "a finite number");
    checkNumber(`${whose}alpha`, alpha, Number.isFinite, "a finite number");
  }
  return checked;
}

/** How errors call an adapter that has no name yet. */
const nth = (number: number) => `adapters[${number}]`;

const checkDensity = (density: number | undefined, whose = "") => checkNumber(`${whose}density`, density, Number.isFinite, "a number above 0, up to 1");

/** List an adapter, and read it into memory where there is room. */
async function openAdapter(platform: Platform, { source, adapter }: AdapterOptions, number: number, limits: ListingLimits, options: Pick<PlanOptions, "hub" | "signal">): Promise<AdapterListing> {
  const open = (source: SourceLike) =>
    listSource(platform, source, "adapter", limits, options).catch((error: unknown) => {
      // Of several adapters it must be clear which.
      if (!(error instanceof LorafoldError) || error.facts.field !== "adapter" || !error.message.startsWith("adapter: ")) throw error;
      const { code, message, facts, detail } = error;
      throw new LorafoldError(code, `${nth(number)}${message.slice("adapter".length)}`, { ...facts, field: nth(number), detail });
    });
  if (adapter === undefined) return held({ listing: await open(source) }, limits);
  const { listNamed } = await import("./sources/several.js");
  return held(await listNamed(open, source, adapter), limits);
}

/** Adapters as the crate takes them, each by a name of its own. */
function adapterRequests(adapters: AdapterOptions[], opened: AdapterListing[]): AdapterRequest[] {
  const names = distinct(opened.map(({ listing, adapter }, number) => adapters[number]!.name ?? adapter ?? listing.name));
  return opened.map((found, number) => ({ folder: listed(found.listing, names[number]), options: adapterSettings(asked(adapters[number]!, found)) }));
}

/** Adapters without a base: as the crate takes them, their files, and what was given. */
export async function listAdapters({ platform }: Context, options: Pick<PlanOptions, "adapters" | "hub" | "signal">): Promise<{ adapters: AdapterRequest[]; inputs: Input[]; sources: SourceLike[] }> {
  const adapters = checkedAdapters(options, "and there is nothing to combine");
  const limits = listingLimits(platform.adapterBytes ?? HELD_BYTES);
  const listings = Promise.all(adapters.map((adapter, number) => openAdapter(platform, adapter, number, limits, options))).catch((error: unknown) => {
    limits.turns.stop(error);
    throw error;
  });
  const opened = await unlessAborted(listings, options.signal);
  return { adapters: adapterRequests(adapters, opened), inputs: opened.flatMap(({ listing }) => listing.files), sources: adapters.map(({ source }) => source) };
}

/** The settings among the options: a signal, functions and the like are not for the crate. */
export function picked<T extends object>(given: T, settings: Record<string, true>): T {
  const values = Object.keys(settings).map((name): [string, unknown] => [name, Reflect.get(given, name)]).filter(([, value]) => value !== undefined);
  for (const [name, value] of values) {
    // JSON, by which they reach the crate, leaves out what it does not have.
    const isInJson = typeof value === "number" ? Number.isFinite(value) : ["string", "boolean", "object"].includes(typeof value);
    if (!isInJson) throw wrongValue(name, value, "a text, a number, or true or false");
  }
  return Object.fromEntries(values) as T;
}

/** The settings of an adapter as the crate takes them: its patterns are lists. */
export function adapterSettings(adapter: AdapterOptions): AdapterSettings {
  const { only, skip, ...others } = picked(adapter, ADAPTER_SETTINGS);
  return { ...others, ...(only !== undefined && { only: [only].flat() }), ...(skip !== undefined && { skip: [skip].flat() }) };
}

function asAdapter(adapter: SourceLike | AdapterOptions, number: number): AdapterOptions {
  if (!isAdapterOptions(adapter)) return { source: adapter };
  const whose = nth(number);
  if (!("source" in adapter) && !Object.keys(adapter).some((name) => Object.hasOwn(ADAPTER_OPTIONS, name) || nearest(name, ["source"]) !== undefined)) {
    throw optionError(whose, "it has no source", { fix: "give { source, weight }, or the source alone" });
  }
  checkOptions(whose, adapter, ADAPTER_OPTIONS);
  if (!("source" in adapter)) throw optionError(whose, "it has no source");
  return adapter;
}

/** Whether these are options and no source: also those whose `source` is misspelt. */
function isAdapterOptions(adapter: SourceLike | AdapterOptions): adapter is AdapterOptions {
  if (typeof adapter !== "object" || adapter === null) return false;
  return "source" in adapter || (Object.getPrototypeOf(adapter) === Object.prototype && !("url" in adapter || "list" in adapter || "kind" in adapter));
}

/** What is asked of an adapter; its name has done its work where it has a folder of its own. */
function asked({ adapter: _, ...options }: AdapterOptions, { adapter }: AdapterListing): AdapterOptions {
  return { ...options, ...(adapter !== undefined && { adapter }) };
}

/** Number names that occur more than once: errors and the report tell adapters apart by name, and checkpoint folders are often named alike. */
function distinct(names: string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let free = name;
    for (let number = 2; taken.has(free); number++) free = `${name} (${number})`;
    taken.add(free);
    return free;
  });
}

/** A listing as the plan takes it. */
export function listed({ name, files, folders = [], origin }: Listing, given = name): ListedFolder {
  const file = ({ name, size, version, oid, digest }: Input) => {
    const state = oid ?? version;
    return { name, ...(size !== undefined && { size }), ...(state !== undefined && { version: state }), ...(digest !== undefined && { sha256: digest }) };
  };
  return { name: given, files: files.map(file), folders, ...(origin !== undefined && { origin }) };
}

/** Bytes of adapters that are kept in memory, unless the platform says otherwise. */
const HELD_BYTES = 256 << 20;

/** Read an adapter's weights that are not local into memory, where there is room: they are read twice, once for their hash and once for their factors. */
async function held({ listing, ...rest }: AdapterListing, { turns, room }: ListingLimits): Promise<AdapterListing> {
  const names = listing.files.map(({ name }) => name);
  if (holdsModel(names)) {
    const onePass = listing.files.find(({ ranges }) => ranges === false);
    if (onePass) throw fileError("no-range-support", address(onePass.url!), "the server does not answer ranged requests, which reading a model beside its base needs");
    return { listing, ...rest };
  }
  const isWeights = mayBeWeights(names, "adapter");
  const held = async (input: Input): Promise<Input> => {
    const { name, size, version, digest, head } = input;
    if (!(isWeights(name) || name === "adapter_config.json")) return input;
    if (input.blob || input.bytes || input.path !== undefined || size === undefined || !room.take(size)) return input;
    const bytes = head?.length === size ? head : await turns.run(() => new RandomReader(name, 0, bind(input).read!).take(size));
    return { name, size, bytes, ...(version !== undefined && { version }), ...(digest !== undefined && { digest }) };
  };
  return { ...rest, listing: { ...listing, files: await Promise.all(listing.files.map(held)) } };
}

/** Refuse what the crate would only call a wrong type, without naming the option. */
export function checkNumber(option: string, value: unknown, isRight: (value: number) => boolean, wanted: string): void {
  if (value !== undefined && !(typeof value === "number" && isRight(value))) throw wrongValue(option, value, wanted);
}

/** Call `note` when the platform's synchronous reader is used. Blobs need no note: reading a changed one fails in the browser itself. */
function noting(input: BoundInput, note: () => void): BoundInput {
  const { readInto } = input;
  if (!readInto) return input;
  return {
    ...input,
    readInto(view, start) {
      note();
      readInto(view, start);
    },
  };
}
