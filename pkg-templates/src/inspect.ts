import { engine } from "./engine.js";
import { asLorafoldError, checkSignal, unlessAborted } from "./errors.js";
import type { AbortSignal } from "./globals.js";
import { inspect as inspectInputs } from "./lorafold.js";
import { platform } from "./platform.js";
import { bind } from "./sources/bind.js";
import { type Listing, listSource } from "./sources/listing.js";
import type { Description, SourceLike } from "./types.js";

/**
 * What a base, an adapter or a merged model is: dtypes, shapes, scales, recipe.
 *
 * @throws {LorafoldError} when it is none of these, or broken.
 */
export async function inspect(source: SourceLike, options: { signal?: AbortSignal } = {}): Promise<Description> {
  const { signal } = options ?? {};
  const described = async () => {
    const [{ name, files }] = await Promise.all([list(source, signal), engine()]);
    const bound = files.map((input) => bind(input, platform().bindInput));
    const request = JSON.stringify({ name, files: files.map(({ name, size }) => ({ name, size })) });
    try {
      return JSON.parse(await inspectInputs(request, bound)) as Description;
    } finally {
      for (const input of bound) input.close?.();
    }
  };
  try {
    checkSignal(signal);
    return await unlessAborted(described(), signal);
  } catch (error) {
    throw asLorafoldError(error);
  }
}

/** Of a folder behind a URL only known names can be asked for: those of a base, and, where they are not there, an adapter's. */
async function list(source: SourceLike, signal: AbortSignal | undefined): Promise<Listing> {
  const has = ({ files }: Listing, name: string) => files.some((file) => file.name === name);
  try {
    const listing = await listSource(source, "base", signal);
    if (!has(listing, "adapter_model.safetensors") || has(listing, "adapter_config.json")) return listing;
  } catch (error) {
    const adapter = await listSource(source, "adapter", signal).catch(() => undefined);
    if (adapter && has(adapter, "adapter_model.safetensors")) return adapter;
    throw error;
  }
  return listSource(source, "adapter", signal);
}
