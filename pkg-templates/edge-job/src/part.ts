import type { MergedModel } from "lorafold/edge";
import { cleanUp } from "./end.js";
import type { Env } from "./env.js";
import { isOpen, type Job, keyOf, readJob } from "./job.js";
import type { Task } from "./task.js";
import { withModelOf } from "./model.js";
import { rangeOf } from "./parts.js";
import { queueParts } from "./queue-parts.js";
import { dropReceipt, hasReceipt, type Receipt, receiptsOf, writeReceipt } from "./receipts.js";
import { beginAgain, isGone, isWritten } from "./uploads.js";

/** Merge a part and upload it; whoever has done the last one sends word that the job can be finished. */
export async function mergePart(env: Env, job: Job, { file: number, round, part }: Extract<Task, { part: number }>): Promise<void> {
  if (!isOpen(job)) return cleanUp(env, job);
  const file = job.files[number];
  if (!file?.upload || !(part >= 1 && part <= file.parts)) return;
  if (file.round !== round) {
    // Whoever has begun the upload again has not come to send for its parts: this message may be what he was at.
    if (!file.queued) await queueParts(env, job);
    return;
  }
  if (!(await hasReceipt(env, job, number, part))) {
    try {
      const receipt = await withModelOf(env, job, (model) => uploadPart(env, job, number, part, model));
      await writeReceipt(env, job, number, receipt);
    } catch (error) {
      if (!isGone(error)) throw error;
      // Either another consumer has completed it, with this very part, or it is lost.
      if (!(await isWritten(env, job, file))) await beginAgain(env, job, number);
      return;
    }
  }
  const now = (await readJob(env, job.id))?.job;
  // What became of the job meanwhile has left no use for the receipt, and nobody else would delete it.
  if (!now || !isOpen(now) || now.run !== job.run || now.files[number]!.round !== round) return dropReceipt(env, job, number, part);
  if (await allThere(env, now, number)) await env.QUEUE.send({ job: job.id, finish: true });
}

/** Upload the bytes while they are computed: a part is never in memory as a whole. */
async function uploadPart({ BUCKET }: Env, job: Job, number: number, part: number, model: MergedModel): Promise<Receipt> {
  const file = job.files[number]!;
  const { start, end } = rangeOf(file, part);
  const body = new FixedLengthStream(end - start);
  const writer = body.writable.getWriter();
  const hash = new crypto.DigestStream("SHA-256");
  const hashed = hash.digest.catch(() => undefined);
  const hasher = hash.getWriter();
  const stop = new AbortController();
  // Whichever fails first makes the other one fail.
  const failures: unknown[] = [];
  const fail = async (error: unknown) => {
    failures.push(error);
    stop.abort(error);
    await Promise.allSettled([writer.abort(error), hasher.abort(error)]);
  };
  const compute = async () => {
    for await (const chunk of model.stream(file.name, start, end, { signal: stop.signal })) {
      await hasher.write(chunk);
      await writer.write(chunk);
    }
    await hasher.close();
    await writer.close();
  };
  const upload = BUCKET.resumeMultipartUpload(keyOf(job, file), file.upload!);
  const [uploaded] = await Promise.all([upload.uploadPart(part, body.readable).catch(fail), compute().catch(fail)]);
  if (!uploaded) throw failures[0];
  const sha256 = Array.from(new Uint8Array((await hashed)!), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { part, etag: uploaded.etag, size: end - start, sha256 };
}

/** Whether every part of every file has its receipt. The part's own file is looked at first: as a rule it is not complete yet. */
async function allThere(env: Env, job: Job, first: number): Promise<boolean> {
  for (const number of [first, ...job.files.keys()]) {
    const { parts } = job.files[number]!;
    if (parts > 0 && (await receiptsOf(env, job, number)).length < parts) return false;
  }
  return true;
}
