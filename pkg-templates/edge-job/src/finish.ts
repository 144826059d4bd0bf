import type { MergedModel } from "lorafold/edge";
import { cleanUp, removeOutput } from "./end.js";
import type { Env } from "./env.js";
import { changeJob, isOpen, type Job, type JobFile, keyOf } from "./job.js";
import { withModelOf } from "./model.js";
import { rangeOf } from "./parts.js";
import { queueParts } from "./queue-parts.js";
import { type Receipt, receiptsOf } from "./receipts.js";
import { beginAgain, firstUnwritten, isSpoilt, isWritten, markOf } from "./uploads.js";

/**
 * The last step: verify every part, complete the uploads, write the small files. Nothing is visible before every part is verified, and
 * config.json comes last, so what looks like a model is one. May be done twice, or broken off and done again.
 */
export async function finishJob(env: Env, job: Job): Promise<void> {
  if (!isOpen(job)) return cleanUp(env, job);
  // An upload was begun again, and not all of its messages were sent.
  if (job.files.some(({ queued }) => !queued)) return queueParts(env, job);
  const receipts: Receipt[][] = [];
  for (const [number, file] of job.files.entries()) {
    receipts.push(file.parts === 0 ? [] : await receiptsOf(env, job, number));
    // Their messages are on their way; the last of them sends for this step.
    if (receipts[number]!.length < file.parts) return;
    if (!areWhole(file, receipts[number]!)) return beginAgain(env, job, number);
  }
  const written = await withModelOf(env, job, async (model) => {
    for (const [number, file] of job.files.entries()) {
      if (file.parts > 0 && !(await complete(env, job, number, receipts[number]!))) return false;
    }
    for (const file of smallFiles(job)) await writeWhole(env, job, file, model);
    return true;
  });
  if (!written) return;
  // Whoever was deleting the model that was here before may have been slower than the merge.
  const lost = await firstUnwritten(env, job);
  if (lost !== undefined) return beginAgain(env, job, lost);
  const ended = await changeJob(env, job.id, (now) => {
    if (now.run !== job.run || !isOpen(now)) return undefined;
    const { error: _, ...rest } = now;
    return { ...rest, status: "done" };
  });
  // Somebody has cancelled it meanwhile.
  if (ended.run !== job.run || ended.status === "failed") await removeOutput(env, job);
  await cleanUp(env, ended);
}

/** Whether the receipts are those of parts 1 to n, each of the size that was planned. */
function areWhole(file: JobFile, receipts: Receipt[]): boolean {
  return receipts.length === file.parts && receipts.every(({ part, size }, index) => {
    const { start, end } = rangeOf(file, index + 1);
    return part === index + 1 && size === end - start;
  });
}

/** Complete a file's upload; false where it had to be begun again. */
async function complete(env: Env, job: Job, number: number, receipts: Receipt[]): Promise<boolean> {
  const file = job.files[number]!;
  const key = keyOf(job, file);
  try {
    await env.BUCKET.resumeMultipartUpload(key, file.upload!).complete(receipts.map(({ part, etag }) => ({ partNumber: part, etag })));
  } catch (error) {
    // Completed before, by another consumer or by one whose answer was lost.
    if (await isWritten(env, job, file)) return true;
    // Two consumers have uploaded the same part at once, and the receipt is not of the later one; or the upload has expired.
    if (!isSpoilt(error)) throw error;
    await beginAgain(env, job, number);
    return false;
  }
  if (await isWritten(env, job, file)) return true;
  await env.BUCKET.delete(key);
  await beginAgain(env, job, number);
  return false;
}

/** In the order in which they are written: the index and config.json, by which a model is found, after all else. */
function smallFiles({ files }: Job): JobFile[] {
  const place = ({ name }: JobFile) => (name === "config.json" ? 2 : name.endsWith(".index.json") ? 1 : 0);
  return files.filter(({ parts }) => parts === 0).sort((a, b) => place(a) - place(b));
}

async function writeWhole({ BUCKET }: Env, job: Job, file: JobFile, model: MergedModel): Promise<void> {
  const bytes = await model.read(file.name);
  // R2 refuses bytes that do not have the hash.
  await BUCKET.put(keyOf(job, file), bytes, { ...markOf(job, file), sha256: await crypto.subtle.digest("SHA-256", bytes) });
}
