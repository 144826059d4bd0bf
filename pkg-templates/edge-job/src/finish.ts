import type { MergedModel } from "lorafold/edge";
import { cleanUp, removeOutput } from "./end.js";
import type { Env } from "./env.js";
import { changeJob, isOpen, type Job, type JobFile, keyOf } from "./job.js";
import { withModelOf } from "./model.js";
import { rangeOf } from "./parts.js";
import { queueParts } from "./queue-parts.js";
import { type Receipt, receiptsOf } from "./receipts.js";
import { beginAgain, firstUnwritten, isGone, isSpoilt, isWritten } from "./uploads.js";

/**
 * The last step: verify every part, upload the small files, complete the uploads. Nothing is visible before every part is verified, and
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
    for (const number of inOrder(job)) if (!(await complete(env, job, number, receipts[number]!, model))) return false;
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
async function complete(env: Env, job: Job, number: number, receipts: Receipt[], model: MergedModel): Promise<boolean> {
  const file = job.files[number]!;
  const upload = env.BUCKET.resumeMultipartUpload(keyOf(job, file), file.upload!);
  try {
    const parts = receipts.map(({ part, etag }) => ({ partNumber: part, etag }));
    // What has no parts of its own is small, and uploaded only now.
    await upload.complete(file.parts > 0 ? parts : [await upload.uploadPart(1, await model.read(file.name))]);
  } catch (error) {
    // Completed before, by another consumer or by one whose answer was lost.
    if (await isWritten(env, job, file)) return true;
    // Two consumers have uploaded the same part at once, and the receipt is not of the later one; or the upload has expired. Of a small
    // file the other one is at this very step: the next try finds what has come of it.
    if (!(file.parts > 0 ? isSpoilt(error) : isGone(error))) throw error;
    await beginAgain(env, job, number);
    return false;
  }
  if (await isWritten(env, job, file)) return true;
  await beginAgain(env, job, number);
  return false;
}

/** The numbers of the files in the order in which they appear: the index and config.json, by which a model is found, after all else. */
function inOrder({ files }: Job): number[] {
  const place = ({ name, parts }: JobFile) => (name === "config.json" ? 3 : name.endsWith(".index.json") ? 2 : parts === 0 ? 1 : 0);
  return [...files.keys()].sort((a, b) => place(files[a]!) - place(files[b]!));
}
