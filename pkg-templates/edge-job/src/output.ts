import type { Env } from "./env.js";
import { listed } from "./listing.js";

/** Names of the files that are directly in a folder. */
export async function filesIn(env: Env, out: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of listed(env, `${out}/`, { delimiter: "/" })) found.push(key.slice(out.length + 1));
  // Some clients mark a folder by an object of its name.
  return found.filter((name) => name !== "");
}

/** Whether a file of this name makes a folder a model. */
export const isOfModel = (name: string): boolean => name === "config.json" || /\.(safetensors|index\.json)$/.test(name);
