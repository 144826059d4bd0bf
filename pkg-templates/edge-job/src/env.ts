import type { Task } from "./task.js";

/** What wrangler.toml and the secrets give. */
export interface Env {
  BUCKET: R2Bucket;
  QUEUE: Queue<Task>;
  PART_MIB?: string;
  JOBS_PREFIX?: string;
  RETRY_SECONDS?: string;
  QUIET_SECONDS?: string;
  ACCESS_TOKEN?: string;
}

const NAMES: Record<keyof Env, true> = { BUCKET: true, QUEUE: true, PART_MIB: true, JOBS_PREFIX: true, RETRY_SECONDS: true, QUIET_SECONDS: true, ACCESS_TOKEN: true };

/** Refuse variables that nobody reads: a name that is misspelt would be ignored. */
export function checkVariables(env: Env): void {
  const unknown = Object.entries(env).find(([name, value]) => typeof value === "string" && !Object.hasOwn(NAMES, name));
  if (unknown) throw new Error(`wrangler.toml: there is no variable ${unknown[0]}; there are ${Object.keys(NAMES).join(", ")}`);
}

/** A number of wrangler.toml. */
export function numberOf(text: string | undefined, fallback: number): number {
  const number = Number(text ?? fallback);
  if (!(number >= 0)) throw new Error(`wrangler.toml: ${text} is not a number`);
  return number;
}
