import { claimKey } from "./claim.js";
import type { Env } from "./env.js";
import { listed } from "./listing.js";
import { Refusal } from "./refusal.js";

/** Bytes that a key may have in R2. */
const LONGEST_KEY = 1024;

/** Refuse a folder whose name is too long for the files that are to be in it, or for the claim to it. */
export function checkLength(env: Env, out: string, names: string[]): void {
  const keys = [claimKey(env, out), ...names.map((name) => `${out}/${name}`)];
  const longest = Math.max(...keys.map((key) => new TextEncoder().encode(key).length));
  if (longest > LONGEST_KEY) throw new Refusal(400, "bad-option", `out: too long: one of its keys has ${longest} bytes, and R2 takes ${LONGEST_KEY}`);
}

/** Names of the files that are directly in a folder. */
export async function filesIn(env: Env, out: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of listed(env, `${out}/`, { delimiter: "/" })) found.push(key.slice(out.length + 1));
  // Some clients mark a folder by an object of its name.
  return found.filter((name) => name !== "");
}

/** Whether a file of this name makes a folder a model. */
export const isOfModel = (name: string): boolean => name === "config.json" || /\.(safetensors|index\.json)$/.test(name);
