import type { Context } from "./context.js";
import { asLorafoldError, checkSignal, unlessAborted, optionError, wrongValue } from "./errors.js";
import { inspect as inspectInputs } from "./lorafold.js";
import { checkOptions, INSPECT_OPTIONS } from "./options.js";
import type { Platform } from "./platform.js";
import { listed } from "./prepare.js";
import { bind } from "./sources/bind.js";
import { hashed } from "./sources/hashed.js";
import type { Listing } from "./sources/input.js";
import { listingLimits } from "./sources/limits.js";
import { listSource } from "./sources/listing.js";
import { withoutEnding } from "./sources/weights.js";
import type { Description, InspectOptions, SourceLike } from "./types.js";

/** See {@link Api.inspect}. */
export async function inspect({ platform, engine }: Context, source: SourceLike, options: InspectOptions = {}): Promise<Description> {
  const { signal, hub, hash = false } = options ?? {};
  const described = async () => {
    const [listing] = await Promise.all([list(platform, source, { ...(signal && { signal }), ...(hub !== undefined && { hub }) }), engine()]);
    const bound = listing.files.map((input) => bind(input, platform.bindInput));
    try {
      return await inspectInputs(listed(listing), hash ? bound.map(hashed) : bound, hash);
    } finally {
      for (const input of bound) input.close?.();
    }
  };
  try {
    checkOptions("inspect", options ?? {}, INSPECT_OPTIONS);
    checkSignal(signal);
    if ((source ?? undefined) === undefined) throw optionError("source", "not given");
    if (typeof hash !== "boolean") throw wrongValue("hash", hash, "true or false");
    return await unlessAborted(described(), signal);
  } catch (error) {
    throw asLorafoldError(error);
  }
}

/** List as a base, and where that finds none, as an adapter: behind a URL only known file names can be requested. */
async function list(platform: Platform, source: SourceLike, options: InspectOptions): Promise<Listing> {
  const hasConfig = ({ files }: Listing) => files.some(({ name }) => name === "adapter_config.json");
  const hasWeights = ({ files }: Listing) => files.some(({ name }) => name !== "adapter_model" && withoutEnding(name) === "adapter_model");
  try {
    const listing = await listSource(platform, source, "base", listingLimits(), options);
    if (!hasWeights(listing) || hasConfig(listing)) return listing;
  } catch (error) {
    const adapter = await listSource(platform, source, "adapter", listingLimits(), options).catch(() => undefined);
    if (adapter && hasWeights(adapter)) return adapter;
    throw error;
  }
  return listSource(platform, source, "adapter", listingLimits(), options);
}
