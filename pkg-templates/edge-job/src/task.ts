import type { Env } from "./env.js";

/** Merge one part of a file, for the upload that was begun in this round; finish the job; or abort an upload that no state names. */
export type Task =
  | { job: string; file: number; round: number; part: number }
  | { job: string; finish: true }
  | { job: string; abort: { key: string; upload: string } };

/** Messages that one call may send. */
const BATCH = 100;

/** Send one message for each part. */
export async function sendParts({ QUEUE }: Env, parts: Iterable<Task>): Promise<void> {
  const all = Array.from(parts, (body) => ({ body }));
  for (let at = 0; at < all.length; at += BATCH) await QUEUE.sendBatch(all.slice(at, at + BATCH));
}
