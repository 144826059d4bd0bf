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

/** A number of wrangler.toml. */
export function numberOf(text: string | undefined, fallback: number): number {
  const number = Number(text ?? fallback);
  if (!(number >= 0)) throw new Error(`wrangler.toml: ${text} is not a number`);
  return number;
}
