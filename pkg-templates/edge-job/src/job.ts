import type { Env } from "./env.js";
import type { Cut } from "./parts.js";
import type { JobRequest } from "./request.js";

/** One file of the merged model, and how far it is. */
export interface JobFile extends Cut {
  name: string;
  size: number;
  etag: string;
  /** The multipart upload that makes it visible: once and no more, and never after it was aborted, whoever completes it late. */
  upload?: string;
  /** How often an upload was begun. Receipts and messages of earlier rounds mean nothing. */
  round: number;
  /** Whether a message for each part was sent. */
  queued: boolean;
}

/**
 * `stalled`: messages were tried in vain; asking for the same job again sends those that are missing. `done` and `failed` jobs change no
 * more, and leave nothing but this state behind.
 */
export type Status = "running" | "stalled" | "done" | "failed";

/** A job, as it stands in the bucket. */
export interface Job {
  id: string;
  /** Another one each time that the job is begun, to tell what it made from what earlier runs made. */
  run: string;
  status: Status;
  request: JobRequest;
  files: JobFile[];
  findings: { level: string; code: string; message: string }[];
  error?: { code: string; message: string };
  /** Files that the folder had, to be replaced: they are deleted before any part's message is sent, and are not the job's business afterwards. */
  old?: string[];
  /** A job that has ended: whether its uploads and receipts are gone. */
  cleaned: boolean;
}

/** A job, the version of its state, which a change is made to, and when that was written (milliseconds). */
export interface Stored {
  job: Job;
  version: string;
  written: number;
}

/** Whether a job may still change. */
export const isOpen = ({ status }: Job): boolean => status === "running" || status === "stalled";

/** The folder of a job's state and receipts. */
export const folderOf = ({ JOBS_PREFIX = ".lorafold-jobs" }: Env, id: string): string => `${JOBS_PREFIX}/${id}`;

/** Where a file of the merged model goes. */
export const keyOf = ({ request }: Job, { name }: { name: string }): string => `${request.out}/${name}`;

const stateKey = (env: Env, id: string) => `${folderOf(env, id)}/job.json`;

/** A job's state; nothing where there is no such job. */
export async function readJob(env: Env, id: string): Promise<Stored | undefined> {
  const object = await env.BUCKET.get(stateKey(env, id));
  return object ? { job: await object.json<Job>(), version: object.etag, written: object.uploaded.getTime() } : undefined;
}

/** Write a state unless somebody else has written another one than `before` meanwhile. */
export async function writeJob(env: Env, job: Job, before: Stored | undefined): Promise<boolean> {
  const onlyIf = before ? { etagMatches: before.version } : { etagDoesNotMatch: "*" };
  const httpMetadata = { contentType: "application/json" };
  return (await env.BUCKET.put(stateKey(env, job.id), JSON.stringify(job), { onlyIf, httpMetadata })) !== null;
}

/** R2 takes one write a second to the same key. */
const BETWEEN_WRITES = 1100;

/** Change a job's state, whoever else does so at the same time. `change` gives nothing where there is nothing to change. */
export async function changeJob(env: Env, id: string, change: (job: Job) => Job | undefined): Promise<Job> {
  for (let failures = 0; ; ) {
    try {
      const stored = await readJob(env, id);
      if (!stored) throw new Error(`job ${id} has no state`);
      const changed = change(stored.job);
      if (!changed) return stored.job;
      if (await writeJob(env, changed, stored)) return changed;
    } catch (error) {
      if (++failures > 3) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, failures * BETWEEN_WRITES + Math.random() * 200));
  }
}

/** The same job with another state of one of its files. */
export const withFile = (job: Job, number: number, change: Partial<JobFile>): Job => ({
  ...job,
  files: job.files.map((file, index) => (index === number ? { ...file, ...change } : file)),
});
