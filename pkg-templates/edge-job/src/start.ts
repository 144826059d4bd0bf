import type { MergedModel } from "lorafold/edge";
import { type Claim, claimOutput, isClaimed, releaseOutput } from "./claim.js";
import { ABORTED, cleanUp, failJob } from "./end.js";
import { type Env, numberOf } from "./env.js";
import { changeJob, isOpen, type Job, type JobFile, keyOf, readJob, type Stored, writeJob } from "./job.js";
import { MOST_DELETED } from "./listing.js";
import { withModel } from "./model.js";
import { checkLength, filesIn, isOfModel } from "./output.js";
import { cut } from "./parts.js";
import { queueParts } from "./queue-parts.js";
import { latestReceipt } from "./receipts.js";
import { Refusal } from "./refusal.js";
import type { JobRequest } from "./request.js";
import { beginUpload, firstUnwritten, forgetUpload } from "./uploads.js";

/** Begin a job; or go on with it where it was begun before: the same merge into the same folder is the same job. */
export function startJob(env: Env, request: JobRequest): Promise<Job> {
  // Opened anew: what is held may be of a base that has changed since.
  return withModel(env, request, () => false, async (model) => {
    checkLength(env, request.out, model.files.map(({ name }) => name));
    const id = await idOf(model, request.out);
    for (;;) {
      const job = await beginOrGoOn(env, model, id, request);
      // Who was slow to delete an old file has deleted a new one.
      if (job.status !== "done" || (await firstUnwritten(env, job)) === undefined) return job;
    }
  });
}

async function beginOrGoOn(env: Env, model: MergedModel, id: string, request: JobRequest): Promise<Job> {
  const ended = await readJob(env, id);
  if (ended) await cleanUp(env, ended.job);
  // Of all who ask at once, one begins the job: the state is written in place of this one, or not at all.
  const before = await readJob(env, id);
  if (before && isOpen(before.job)) return goOn(env, before.job, await isQuiet(env, before));
  // Whoever asks again has lost the answer: `force` is about the models of others. Files of the same sizes may be of another merge.
  if (before?.job.status === "done" && (await firstUnwritten(env, before.job)) === undefined) return before.job;
  await oldFiles(env, model, request);
  const claim = await claimOutput(env, request.out, id);
  try {
    // Another job may have ended here before the folder was claimed.
    const old = await oldFiles(env, model, request);
    return await begin(env, model, claim, request, old, before);
  } catch (error) {
    // If this fails too, the claim is forgotten after a while, or given up by whoever cancels the job.
    await releaseOutput(env, request.out, claim).catch(() => undefined);
    throw error;
  }
}

/**
 * Names of the files that are to be deleted: all that lie in the folder, if the request says so, for whatever an old model leaves beside the new
 * one would be taken for a part of it.
 */
async function oldFiles(env: Env, model: MergedModel, { out, force }: JobRequest): Promise<string[]> {
  const there = await filesIn(env, out);
  if (force) return there;
  const old = there.filter((name) => isOfModel(name) || model.files.some((file) => file.name === name));
  if (old.length > 0) throw new Refusal(409, "output-exists", `${out} has a model already: ${old.slice(0, 3).join(", ")}`);
  return [];
}

async function begin(env: Env, model: MergedModel, claim: Claim, request: JobRequest, old: string[], before: Stored | undefined): Promise<Job> {
  const { id, run } = claim;
  const files: JobFile[] = model.files.map((file) => {
    const { parts, partSize } = cut(file, env);
    return { name: file.name, size: file.size, etag: file.etag, parts, partSize, round: 1, queued: parts === 0 };
  });
  const findings = model.report.findings.map(({ level, code, message }) => ({ level, code, message }));
  const job: Job = { id, run, status: "running", request, files, findings, ...(old.length > 0 && { old }), cleaned: false };
  try {
    for (const file of files) file.upload = await beginUpload(env, job, file);
    if (await writeJob(env, job, before)) {
      // Whoever has cancelled the job a moment ago has seen no state of it.
      return (await isClaimed(env, request.out, claim)) ? await goOn(env, job) : await failJob(env, job, ABORTED);
    }
  } catch (error) {
    // Unless the job stands, in which case it is gone on with when it is asked for again.
    const now = await readJob(env, id).catch(() => undefined);
    if (now?.job.files[0]?.upload !== job.files[0]?.upload) await forgetAll(env, job);
    throw error;
  }
  // The same was asked for twice at once, and the other was quicker.
  await forgetAll(env, job);
  return (await readJob(env, id))!.job;
}

async function forgetAll(env: Env, job: Job): Promise<void> {
  for (const file of job.files) await forgetUpload(env, job, file);
}

/** Whether nothing has come of a job's messages for so long that they must be lost: queues do not keep them for ever. */
async function isQuiet(env: Env, { job, written }: Stored): Promise<boolean> {
  return Date.now() - Math.max(written, await latestReceipt(env, job)) >= numberOf(env.QUIET_SECONDS, 3600) * 1000;
}

/** Do what the job lacks; its messages are sent once more where they have been tried in vain, or are `lost`. */
async function goOn(env: Env, job: Job, lost = false): Promise<Job> {
  let now = await deleteOld(env, job);
  if (now.status === "stalled" || lost) {
    now = await changeJob(env, job.id, (now) => {
      if (now.run !== job.run || !(now.status === "stalled" || (lost && isOpen(now)))) return undefined;
      return { ...now, status: "running", files: now.files.map((file) => ({ ...file, queued: file.parts === 0 })) };
    });
  }
  if (!isOpen(now) || now.files.every(({ queued }) => queued)) return now;
  await queueParts(env, now);
  return (await readJob(env, job.id))?.job ?? now;
}

/** Delete what was in the folder, unless somebody else has: what has its names then is new. */
async function deleteOld(env: Env, job: Job): Promise<Job> {
  if (!job.old) return job;
  // config.json first and alone, so that what is left looks like no model while others go.
  const keys = job.old.toSorted((a, b) => Number(b === "config.json") - Number(a === "config.json")).map((name) => keyOf(job, { name }));
  for (let at = 0, end = 1; at < keys.length; at = end, end += MOST_DELETED) {
    const now = (await readJob(env, job.id))?.job;
    if (!now?.old || now.run !== job.run || !isOpen(now)) return now ?? job;
    await env.BUCKET.delete(keys.slice(at, end));
  }
  return changeJob(env, job.id, (now) => {
    const { old, ...rest } = now;
    return old && now.run === job.run ? rest : undefined;
  });
}

/** The same for the same inputs, options and folder. */
async function idOf({ files }: MergedModel, out: string): Promise<string> {
  const text = JSON.stringify([out, files.map(({ name, size, etag }) => [name, size, etag])]);
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash).subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
