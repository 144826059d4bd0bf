import { troubleKey } from "./end.js";
import type { Env } from "./env.js";
import { isOpen, type Job, keyOf } from "./job.js";
import { rangeOf } from "./parts.js";
import { receiptsOf } from "./receipts.js";
import { firstUnwritten } from "./uploads.js";

/** A job that is done is said to be so while its files are in their places: what has become of them since, its state does not know. */
export async function asItStands(env: Env, job: Job): Promise<Job> {
  const lost = job.status === "done" ? await firstUnwritten(env, job) : undefined;
  if (lost === undefined) return job;
  const message = `${keyOf(job, job.files[lost]!)} is not there any more, or not the job's`;
  return { ...job, status: "failed", error: { code: "output-changed", message } };
}

/** What a client is told of a job. */
export async function progressOf(env: Env, job: Job) {
  const { id, status, request, error, findings } = job;
  const files: { name: string; size: number; parts: number; partsDone: number; bytesDone: number }[] = [];
  for (const [number, file] of job.files.entries()) {
    const { name, size, parts } = file;
    const receipts = isOpen(job) && parts > 0 ? await receiptsOf(env, job, number) : [];
    const done = receipts.reduce((sum, { part }) => sum + rangeOf(file, part).end - rangeOf(file, part).start, 0);
    files.push({ name, size, parts, partsDone: status === "done" ? parts : receipts.length, bytesDone: status === "done" ? size : done });
  }
  const sum = (key: "size" | "bytesDone") => files.reduce((total, file) => total + file[key], 0);
  const trouble = isOpen(job) ? await (await env.BUCKET.get(troubleKey(env, id)))?.json() : undefined;
  return { id, status, out: request.out, bytes: sum("bytesDone"), total: sum("size"), files, findings, ...(error && { error }), ...(trouble ? { trouble } : {}) };
}
