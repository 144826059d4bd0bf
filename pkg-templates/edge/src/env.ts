import type { R2BucketLike } from "lorafold/edge";

/** What wrangler.toml and the secrets give. */
export interface Env {
  BUCKET?: R2BucketLike;
  /** `r2:path` or a URL. */
  BASE: string;
  /** JSON: `[{ "source": "r2:path" or a URL, "weight": 1 }]`. */
  ADAPTERS: string;
  ALLOW: string;
  CACHE_CONTROL?: string;
  DTYPE?: string;
  ACCESS_TOKEN?: string;
  BASE_TOKEN?: string;
}
