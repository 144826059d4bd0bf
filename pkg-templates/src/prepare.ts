import type { Context } from "./context.js";
import { checkSignal, optionError, throwIfAborted, unlessAborted, wrongValue } from "./errors.js";
import { Plan } from "./lorafold.js";
import type { AdapterSettings, ListedFolder, PlanRequest, PlanSettings } from "./schema.js";
import { bind } from "./sources/bind.js";
import { isDirectoryHandle } from "./sources/directory.js";
import type { BoundInput, Input, Listing, Role } from "./sources/input.js";
import { type ListingLimits, listingLimits } from "./sources/limits.js";
import { RandomReader } from "./sources/reader.js";
import { listSource } from "./sources/listing.js";
import { hashed } from "./sources/hashed.js";
import type { AdapterOptions, MergeOptions, PlanOptions, SourceLike } from "./types.js";
import { planInWorker } from "./workers/planner.js";

/** A plan and the inputs that it refers to by number. */
export interface Prepared {
  plan: Plan;
  inputs: Input[];
  /** Numbers of the inputs that were read, for the plan or for the output. */
  used: Set<number>;
  /** The sources that were given as directory handles. */
  directories: FileSystemDirectoryHandle[];
}

/**
 * List every source and make the plan.
 *
 * @throws {LorafoldError} for everything that headers, configurations and options can show to be wrong.
 */
export async function prepare({ platform, engine }: Context, options: PlanOptions & Pick<MergeOptions, "workers">): Promise<Prepared> {
  if (!options || typeof options !== "object" || options.base === undefined) {
    throw optionError("base", "not given");
  }
  const { signal } = options;
  checkSignal(signal);
  throwIfAborted(signal);
  if (!Array.isArray(options.adapters ?? [])) throw optionError("adapters", "not an array");
  const adapters = (options.adapters ?? []).map(asAdapter);
  for (const { weight, alpha } of adapters) {
    checkNumber("weight", weight, Number.isFinite, "a finite number");
    checkNumber("alpha", alpha, Number.isFinite, "a finite number");
  }
  checkNumber("maxShardSize", options.maxShardSize, (bytes) => Number.isSafeInteger(bytes) && bytes > 0, "a number of bytes");
  const prepared = async (): Promise<Prepared> => {
    const limits = listingLimits(platform.adapterBytes ?? HELD_BYTES);
    const list = (source: SourceLike, role: Role) => listSource(platform, source, role, limits, signal);
    // All at the same time: each waits for its turn to make a request.
    const listings = async () => {
      const listing = list(options.base, "base");
      const folders = Promise.all(adapters.map(async ({ source }) => hold(await list(source, "adapter"), limits)));
      return Promise.all([listing, folders]).catch((error: unknown) => {
        limits.turns.stop(error);
        throw error;
      });
    };
    const [[base, folders], { module }] = await Promise.all([listings(), engine()]);
    const directories = [options.base, ...adapters.map(({ source }) => source)].filter(isDirectoryHandle);
    const inputs = [...base.files, ...folders.flatMap((folder) => folder.files)];
    const names = distinct(folders.map((folder, number) => adapters[number]!.name ?? folder.name));
    const request: PlanRequest = {
      base: listed(base),
      adapters: folders.map((folder, number) => ({ folder: listed(folder, names[number]), options: picked(adapters[number]!, ADAPTER_SETTINGS) })),
      options: picked(options, PLAN_SETTINGS),
    };
    const used = new Set<number>();
    const bound = inputs.map((input, number) => noting(bind(input, platform.bindInput), () => used.add(number)));
    try {
      const moved = platform.plansInWorker && options.workers !== 0 ? await planInWorker(platform, module, request, bound, signal) : undefined;
      const plan = moved ?? (await Plan.open(request, bound.map(hashed), signal));
      // The first bytes of files were kept for the plan alone: merging reads the file as it is then.
      return { plan, inputs: inputs.map(({ head: _, ...input }) => input), used, directories };
    } finally {
      for (const input of bound) input.close?.();
    }
  };
  return unlessAborted(prepared(), signal);
}

/** The settings that the crate knows: what else callers give (a signal, functions) stays here. */
const PLAN_SETTINGS: Record<keyof PlanSettings, true> = { dtype: true, method: true, rounding: true, tied: true, only: true, skip: true, maxShardSize: true, allowUnmatched: true };
const ADAPTER_SETTINGS: Record<keyof AdapterSettings, true> = { weight: true, alpha: true, expertPacking: true };

function picked<T extends object>(given: T, settings: Record<string, true>): T {
  return Object.fromEntries(Object.keys(settings).map((name) => [name, Reflect.get(given, name)]).filter(([, value]) => value !== undefined)) as T;
}

function asAdapter(adapter: SourceLike | AdapterOptions): AdapterOptions {
  return isAdapterOptions(adapter) ? adapter : { source: adapter };
}

function isAdapterOptions(adapter: SourceLike | AdapterOptions): adapter is AdapterOptions {
  return typeof adapter === "object" && adapter !== null && "source" in adapter;
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
export function listed({ name, files, folders = [] }: Listing, given = name): ListedFolder {
  const file = ({ name, size, version, oid }: Input) => {
    const state = oid ?? version;
    return { name, ...(size !== undefined && { size }), ...(state !== undefined && { version: state }) };
  };
  return { name: given, files: files.map(file), folders };
}

/** Bytes of adapters that are kept in memory, unless the platform says otherwise. */
const HELD_BYTES = 256 << 20;

/** Read an adapter's files that are not local into memory, where there is room: each is read twice, once for its hash and once for its factors. */
async function hold(listing: Listing, { turns, room }: ListingLimits): Promise<Listing> {
  const held = async (input: Input): Promise<Input> => {
    const { name, size, version, head } = input;
    if (input.blob || input.bytes || input.path !== undefined || size === undefined || !room.take(size)) return input;
    const bytes = head?.length === size ? head : await turns.run(() => new RandomReader(name, 0, bind(input).read!).take(size));
    return { name, size, bytes, ...(version !== undefined && { version }) };
  };
  return { ...listing, files: await Promise.all(listing.files.map(held)) };
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
