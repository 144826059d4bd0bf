import type { Context } from "./context.js";
import { checkSignal, LorafoldError, quoted, throwIfAborted, unlessAborted } from "./errors.js";
import { Plan } from "./lorafold.js";
import { bind } from "./sources/bind.js";
import { isDirectoryHandle } from "./sources/directory.js";
import type { BoundInput, Input, Listing } from "./sources/input.js";
import { listSource } from "./sources/listing.js";
import { inFlight } from "./sources/request.js";
import type { AdapterOptions, PlanOptions, SourceLike } from "./types.js";

/** A plan and the inputs its numbers mean. */
export interface Prepared {
  plan: Plan;
  inputs: Input[];
  /** Numbers of the inputs that count: the plan was made from them, or bytes of them are merged or copied. */
  used: Set<number>;
  /** The directories that the inputs are in, as far as they were given as handles. */
  directories: FileSystemDirectoryHandle[];
}

/** List every source and plan. */
export async function prepare({ platform, engine }: Context, options: PlanOptions): Promise<Prepared> {
  if (!options || typeof options !== "object" || options.base === undefined) {
    throw new LorafoldError("bad-option", "base: not given");
  }
  const { signal } = options;
  checkSignal(signal);
  throwIfAborted(signal);
  if (!Array.isArray(options.adapters ?? [])) throw new LorafoldError("bad-option", "adapters: not an array");
  const adapters = (options.adapters ?? []).map(asAdapter);
  const prepared = async (): Promise<Prepared> => {
    // One after another: each listing has as many requests under way as a platform may allow in all.
    const listings = async () => {
      const base = await listSource(platform, options.base, "base", signal);
      return { base, folders: await inFlight(adapters, 1, (adapter) => listSource(platform, adapter.source, "adapter", signal)) };
    };
    const [{ base, folders }] = await Promise.all([listings(), engine()]);
    const directories = [options.base, ...adapters.map(({ source }) => source)].filter(isDirectoryHandle);
    const inputs = [...base.files, ...(await hold(folders.flatMap((folder) => folder.files), platform.adapterBytes))];
    const names = distinct(folders.map((folder, number) => adapters[number]!.name ?? folder.name));
    const request = {
      base: listed(base),
      adapters: folders.map((folder, number) => {
        const { weight, alpha } = adapters[number]!;
        return { folder: listed(folder, names[number]), options: { weight: finite("weight", weight), alpha: finite("alpha", alpha) } };
      }),
      options: planOptions(options),
    };
    const used = new Set<number>();
    const bound = inputs.map((input, number) => noting(withHash(bind(input, platform.bindInput)), () => used.add(number)));
    try {
      const plan = await Plan.open(JSON.stringify(request), bound);
      // What was kept of a file's beginning was for the plan: weights are read anew, from the file as it is then.
      return { plan, inputs: inputs.map(({ head: _, ...input }) => input), used, directories };
    } finally {
      for (const input of bound) input.close?.();
    }
  };
  return unlessAborted(prepared(), signal);
}

function asAdapter(adapter: SourceLike | AdapterOptions): AdapterOptions {
  return isAdapterOptions(adapter) ? adapter : { source: adapter };
}

function isAdapterOptions(adapter: SourceLike | AdapterOptions): adapter is AdapterOptions {
  return typeof adapter === "object" && adapter !== null && "source" in adapter;
}

/** Errors and the report tell adapters apart by name, and folders of checkpoints often have the same. */
function distinct(names: string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let free = name;
    for (let number = 2; taken.has(free); number++) free = `${name} (${number})`;
    taken.add(free);
    return free;
  });
}

function listed({ name, files, folders }: Listing, given?: string) {
  return { name: given ?? name, files: files.map(({ name, size, version, oid }) => ({ name, size, version: oid ?? version })), folders };
}

/** Adapters of up to this size together are kept, unless the platform says otherwise. */
const HELD_BYTES = 256 << 20;

/**
 * Adapters are read for their hash and then again, pair by pair: what is far away is fetched once, while there is room for it.
 */
async function hold(inputs: Input[], room = HELD_BYTES): Promise<Input[]> {
  return inFlight(inputs, 1, async (input) => {
    const { name, size, version } = input;
    if (input.blob || input.path !== undefined || size === undefined || size > room) return input;
    room -= size;
    const bytes = (await bind(input).read!(0, size)) as Uint8Array<ArrayBuffer>;
    if (bytes.length !== size) throw new LorafoldError("source-changed", `${name}: ${bytes.length} bytes came where ${size} were asked for`);
    return { name, size, blob: new Blob([bytes]), ...(version !== undefined && { version }) };
  });
}

/** JSON has no NaN and no infinity: they would arrive as "not given". */
function finite(option: string, value: number | undefined): number | undefined {
  if (value !== undefined && !Number.isFinite(value)) {
    throw new LorafoldError("bad-option", `${option}: ${quoted(value)} is not a finite number`);
  }
  return value;
}

function planOptions({ dtype, method, rounding, only, skip, maxShardSize, allowUnmatched }: PlanOptions) {
  if (maxShardSize !== undefined && !(Number.isSafeInteger(maxShardSize) && maxShardSize > 0)) {
    throw new LorafoldError("bad-option", `maxShardSize: ${quoted(maxShardSize)} is not a number of bytes`);
  }
  return { dtype, method, rounding, only, skip, maxShardSize, allowUnmatched: allowUnmatched ?? false };
}

/** Note when a file is read by the platform's own readers; of a Blob the browser itself says when it is not what it was. */
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

/** Larger files are not taken into memory for the sake of a faster hash. */
const HASHED_WHOLE = 256 << 20;

/** A file's hash by the browser's own code, many times faster than ours; insecure pages do not have it. */
function withHash(input: BoundInput): BoundInput {
  const { blob } = input;
  if (!blob || !globalThis.crypto?.subtle || blob.size > HASHED_WHOLE) return input;
  const sha256 = async () => {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
  return { ...input, sha256 };
}
