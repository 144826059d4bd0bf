import type { Env } from "./env.js";
import { changeJob, folderOf, isOpen, type Job, keyOf } from "./job.js";
import { dropReceipts } from "./receipts.js";
import { abortUpload, isOfRun } from "./uploads.js";

/** Why a job has ended that somebody has cancelled. */
export const ABORTED = { code: "aborted", message: "cancelled" };

/** Nothing will come of the job: say why, and leave nothing of it behind. */
export async function failJob(env: Env, job: Job, error: { code: string; message: string }): Promise<Job> {
  const failed = await changeJob(env, job.id, (now) => (now.run === job.run && isOpen(now) ? { ...now, status: "failed", error } : undefined));
  // The last step of a job that has ended is to clean up.
  await cleanUp(env, failed).catch(() => env.QUEUE.send({ job: job.id, finish: true }));
  return failed;
}

/** Remove what a job that has ended needs no more. Whoever meets such a job does so, in case that the one who ended it could not. */
export async function cleanUp(env: Env, job: Job): Promise<void> {
  if (isOpen(job) || job.cleaned) return;
  if (job.status === "failed") await removeOutput(env, job);
  await dropReceipts(env, job);
  await env.BUCKET.delete(troubleKey(env, job.id));
  await changeJob(env, job.id, (now) => (now.run === job.run && !now.cleaned ? { ...now, cleaned: true } : undefined));
}

/** Abort a job's uploads, and delete those of its files that are in their places already: of what others have written, nothing. */
export async function removeOutput(env: Env, job: Job): Promise<void> {
  // What a model is found by goes first.
  for (const file of job.files.toReversed().sort((a, b) => a.parts - b.parts)) {
    await abortUpload(env, job, file);
    if (await isOfRun(env, job, file)) await env.BUCKET.delete(keyOf(job, file));
  }
}

/** The latest error that a message will be tried again after. */
export const troubleKey = (env: Env, id: string): string => `${folderOf(env, id)}/trouble.json`;
