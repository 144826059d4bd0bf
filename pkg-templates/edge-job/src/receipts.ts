import type { Env } from "./env.js";
import { folderOf, type Job } from "./job.js";
import { listed, MOST_DELETED } from "./listing.js";

/** That a part was uploaded: an empty object whose metadata says which, so that listing them reads them. */
export interface Receipt {
  part: number;
  /** R2's tag of the part, which completing the upload asks for. */
  etag: string;
  size: number;
  /** Of the part's bytes. */
  sha256: string;
}

/** Of one run: who cleans up after another must not see them. */
const prefixOf = (env: Env, job: Job) => `${folderOf(env, job.id)}/receipts/${job.run}/`;

const filePrefix = (env: Env, job: Job, file: number) => `${prefixOf(env, job)}${file}/${job.files[file]!.round}/`;

const keyOfPart = (env: Env, job: Job, file: number, part: number) => `${filePrefix(env, job, file)}${String(part).padStart(5, "0")}`;

/** Whether a part of the file's present upload was uploaded. */
export async function hasReceipt(env: Env, job: Job, file: number, part: number): Promise<boolean> {
  return (await env.BUCKET.head(keyOfPart(env, job, file, part))) !== null;
}

/** Remember that a part was uploaded. */
export async function writeReceipt(env: Env, job: Job, file: number, { part, etag, size, sha256 }: Receipt): Promise<void> {
  await env.BUCKET.put(keyOfPart(env, job, file, part), "", { customMetadata: { etag, size: String(size), sha256 } });
}

/** Forget that a part was uploaded: it must be again. */
export async function dropReceipt(env: Env, job: Job, file: number, part: number): Promise<void> {
  await env.BUCKET.delete(keyOfPart(env, job, file, part));
}

/** The receipts of a file's present upload, in the order of its parts. */
export async function receiptsOf(env: Env, job: Job, file: number): Promise<Receipt[]> {
  const receipts: Receipt[] = [];
  for await (const { key, customMetadata = {} } of listed(env, filePrefix(env, job, file))) {
    receipts.push({ part: Number(key.split("/").at(-1)), etag: customMetadata.etag!, size: Number(customMetadata.size), sha256: customMetadata.sha256! });
  }
  return receipts.sort((a, b) => a.part - b.part);
}

/** When the latest one was written, in milliseconds; 0 where there is none. */
export async function latestReceipt(env: Env, job: Job): Promise<number> {
  let latest = 0;
  for await (const { uploaded } of listed(env, prefixOf(env, job))) latest = Math.max(latest, uploaded.getTime());
  return latest;
}

/** Delete those of one upload, or all of the run's. */
export async function dropReceipts(env: Env, job: Job, file?: number): Promise<void> {
  const prefix = file === undefined ? prefixOf(env, job) : filePrefix(env, job, file);
  const keys = [];
  for await (const { key } of listed(env, prefix)) keys.push(key);
  for (let at = 0; at < keys.length; at += MOST_DELETED) await env.BUCKET.delete(keys.slice(at, at + MOST_DELETED));
}
