import type { R2BucketLike } from "lorafold/edge";

/** What wrangler.toml and the secrets give. */
export interface Env {
  BUCKET?: R2BucketLike;
  /** `r2:path` or a URL. */
  BASE: string;
  /** JSON: `[{ "source": "r2:path" or a URL, "weight": 1 }]`, or sources alone: `["r2:path"]`. */
  ADAPTERS: string;
  ALLOW: string;
  CACHE_CONTROL?: string;
  DTYPE?: string;
  ACCESS_TOKEN?: string;
  BASE_TOKEN?: string;
}

const NAMES: Record<keyof Env, true> = { BUCKET: true, BASE: true, ADAPTERS: true, ALLOW: true, CACHE_CONTROL: true, DTYPE: true, ACCESS_TOKEN: true, BASE_TOKEN: true };

/** Refuse variables that nobody reads: a name that is misspelt would be ignored. */
export function checkVariables(env: Env): void {
  const unknown = Object.entries(env).find(([name, value]) => typeof value === "string" && !Object.hasOwn(NAMES, name));
  if (unknown) throw new Error(`${unknown[0]}: there is no such variable; there are ${Object.keys(NAMES).join(", ")}`);
}
