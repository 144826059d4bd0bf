import type { Env } from "./env.js";
import { changeJob, isOpen, type Job, type JobFile, keyOf, withFile } from "./job.js";
import { listed } from "./listing.js";
import { queueParts } from "./queue-parts.js";
import { dropReceipts } from "./receipts.js";
import { Refusal } from "./refusal.js";

/** Uploads of one file that are begun before something must be wrong. */
const MOST_ROUNDS = 5;

/** What R2's errors end with. */
const NO_SUCH_UPLOAD = 10024;
const INVALID_PART = 10025;
const BAD_UPLOAD = 10048;

const codeOf = (error: unknown) => Number(/\((\d+)\)$/.exec((error as Error)?.message ?? "")?.[1]);

/** Whether an upload is gone: completed, aborted, or dropped by R2 after seven days. */
export const isGone = (error: unknown): boolean => codeOf(error) === NO_SUCH_UPLOAD;

/** Whether an upload cannot be completed, however often it is tried: a part is another than its receipt says. */
export const isSpoilt = (error: unknown): boolean => isGone(error) || [INVALID_PART, BAD_UPLOAD].includes(codeOf(error));

/** How objects say which run, and which of its uploads, has made them. */
export function markOf(job: Job, { name, round }: JobFile): R2PutOptions & { customMetadata: Record<string, string> } {
  return {
    customMetadata: { "lorafold-job": job.id, "lorafold-upload": `${job.run}/${round}` },
    httpMetadata: { contentType: name.endsWith(".json") ? "application/json" : "application/octet-stream" },
  };
}

/** Begin an upload; what is uploaded is not seen before it is completed. */
export async function beginUpload({ BUCKET }: Env, job: Job, file: JobFile): Promise<string> {
  return (await BUCKET.createMultipartUpload(keyOf(job, file), markOf(job, file))).uploadId;
}

/** Give up a file's upload, where one was begun. */
export async function abortUpload(env: Env, job: Job, file: JobFile): Promise<void> {
  if (file.upload !== undefined) await abort(env, keyOf(job, file), file.upload);
}

/** The same for an upload that no state names, so that nobody who cleans up would come to it: where it fails, a message tries again. */
export async function forgetUpload(env: Env, job: Job, file: JobFile): Promise<void> {
  try {
    await abortUpload(env, job, file).catch(() => env.QUEUE.send({ job: job.id, abort: { key: keyOf(job, file), upload: file.upload! } }));
  } catch (error) {
    // R2 itself drops it after seven days; the job has other things to do.
    console.error(keyOf(job, file), String(error));
  }
}

/** Abort an upload, unless it is gone already. */
export async function abort({ BUCKET }: Env, key: string, upload: string): Promise<void> {
  await BUCKET.resumeMultipartUpload(key, upload).abort().catch((error: unknown) => {
    if (!isGone(error)) throw error;
  });
}

/** Whether the file is in its place, whole and made by its present upload. */
export async function isWritten({ BUCKET }: Env, job: Job, file: JobFile): Promise<boolean> {
  return isBy(await BUCKET.head(keyOf(job, file)), job, file);
}

function isBy(object: R2Object | null | undefined, job: Job, file: JobFile): boolean {
  return object?.size === file.size && object.customMetadata?.["lorafold-upload"] === markOf(job, file).customMetadata["lorafold-upload"];
}

/** Whether what is in the file's place was made by this run of the job, whichever of its uploads it was. */
export async function isOfRun({ BUCKET }: Env, job: Job, file: JobFile): Promise<boolean> {
  return (await BUCKET.head(keyOf(job, file)))?.customMetadata?.["lorafold-upload"]?.startsWith(`${job.run}/`) ?? false;
}

/** The first of the job's files that is not in its place. Listing the folder is one call for a thousand of them. */
export async function firstUnwritten(env: Env, job: Job): Promise<number | undefined> {
  const there = new Map<string, R2Object>();
  for await (const object of listed(env, `${job.request.out}/`, { delimiter: "/" })) there.set(object.key, object);
  const number = job.files.findIndex((file) => !isBy(there.get(keyOf(job, file)), job, file));
  return number < 0 ? undefined : number;
}

/** Begin a file's upload again, unless somebody else has, or the job has ended. */
export async function beginAgain(env: Env, job: Job, number: number): Promise<void> {
  const spoilt = job.files[number]!;
  if (spoilt.round >= MOST_ROUNDS) throw new Refusal(500, "upload-lost", `${spoilt.name}: ${MOST_ROUNDS} uploads were spoilt or lost`);
  const next: JobFile = { ...spoilt, round: spoilt.round + 1, queued: false };
  const upload = await beginUpload(env, job, next);
  const now = await changeJob(env, job.id, (now) => {
    if (now.run !== job.run || !isOpen(now) || now.files[number]!.round !== spoilt.round) return undefined;
    return withFile(now, number, { ...next, upload });
  }).catch(async (error: unknown) => {
    await forgetUpload(env, job, { ...next, upload });
    throw error;
  });
  if (now.files[number]?.upload !== upload) return forgetUpload(env, job, { ...next, upload });
  // Now, for nobody else will.
  await forgetUpload(env, job, spoilt);
  await queueParts(env, now);
  // Last, for nothing depends on it.
  await dropReceipts(env, job, number);
}
