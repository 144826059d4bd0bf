import { LorafoldError } from "lorafold/edge";
import { failJob, troubleKey } from "./end.js";
import { type Env, numberOf } from "./env.js";
import { finishJob } from "./finish.js";
import { changeJob, type Job, readJob } from "./job.js";
import type { Task } from "./task.js";
import { mergePart } from "./part.js";
import { Refusal } from "./refusal.js";
import { abort } from "./uploads.js";

/**
 * Codes of errors that may pass: a source that cannot be reached, one node of which ignores ranges (the job was begun because others do not), an
 * isolate that other jobs have filled, WebAssembly that has trapped there.
 */
const PASSING = new Set(["fetch-failed", "no-range-support", "limit-exceeded", "internal"]);

/** Do what a message asks for. What fails for good fails the job; whatever else goes wrong is tried again by the queue. */
export async function consume(message: Message<Task>, env: Env): Promise<void> {
  const { body } = message;
  let job: Job | undefined;
  try {
    if ("abort" in body) await abort(env, body.abort.key, body.abort.upload);
    else {
      job = (await readJob(env, body.job))?.job;
      if (job) await ("finish" in body ? finishJob(env, job) : mergePart(env, job, body));
    }
    message.ack();
  } catch (thrown) {
    const error = { code: codeOf(thrown) ?? "failed", message: String((thrown as Error)?.message ?? thrown) };
    console.error(JSON.stringify({ ...body, ...error }));
    try {
      if (job && codeOf(thrown) !== undefined && !PASSING.has(error.code)) {
        await failJob(env, job, error);
        return message.ack();
      }
      const trouble = { ...error, attempts: message.attempts, ...body };
      if (job) await env.BUCKET.put(troubleKey(env, job.id), JSON.stringify(trouble));
    } catch (again) {
      console.error(JSON.stringify(body), String(again));
    }
    message.retry({ delaySeconds: Math.round(Math.min(numberOf(env.RETRY_SECONDS, 10) * 2 ** (message.attempts - 1), 3600)) });
  }
}

/** The code of an error of ours; what R2 and the platform throw has none. */
const codeOf = (thrown: unknown): string | undefined => (thrown instanceof LorafoldError || thrown instanceof Refusal ? thrown.code : undefined);

/** A message that was tried in vain as often as wrangler.toml says: the job waits until somebody asks for it again. */
export async function giveUp(message: Message<Task>, env: Env): Promise<void> {
  const { body } = message;
  try {
    const isOf = ({ files }: Job) => ("part" in body ? files[body.file]?.round === body.round : "finish" in body);
    if (await readJob(env, body.job)) {
      await changeJob(env, body.job, (job) => (job.status === "running" && isOf(job) ? { ...job, status: "stalled" } : undefined));
    }
    message.ack();
  } catch (error) {
    // One message that is none, or one error of R2, is not to keep the others of its batch from being heard.
    console.error(JSON.stringify(body), String(error));
    message.retry();
  }
}
