import { troubleKey } from "./end.js";
import type { Env } from "./env.js";
import { isOpen, type Job } from "./job.js";
import { rangeOf } from "./parts.js";
import { receiptsOf } from "./receipts.js";

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
