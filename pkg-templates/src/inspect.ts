import { engine } from "./engine.js";
import { asLorafoldError, unlessAborted } from "./errors.js";
import { inspect as inspectInputs } from "./lorafold.js";
import { platform } from "./platform.js";
import { bind } from "./sources/bind.js";
import { listSource } from "./sources/listing.js";
import type { Description, SourceLike } from "./types.js";

/**
 * What a base, an adapter or a merged model is: dtypes, shapes, scales, recipe.
 *
 * @throws {LorafoldError} when it is none of these, or broken.
 */
export async function inspect(source: SourceLike, options: { signal?: AbortSignal } = {}): Promise<Description> {
  const { signal } = options;
  const described = async () => {
    const [{ name, files }] = await Promise.all([listSource(source, "base", signal), engine()]);
    const bound = files.map((input) => bind(input, platform().bindInput));
    const request = JSON.stringify({ name, files: files.map(({ name, size }) => ({ name, size })) });
    try {
      return JSON.parse(await inspectInputs(request, bound)) as Description;
    } finally {
      for (const input of bound) input.close?.();
    }
  };
  try {
    return await unlessAborted(described(), signal);
  } catch (error) {
    throw asLorafoldError(error);
  }
}
