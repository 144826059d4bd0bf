import { LorafoldError, type MergedModel, openMerged } from "lorafold/edge";
import type { Env } from "./env.js";
import type { Job } from "./job.js";
import { type JobRequest, openOptions } from "./request.js";

/** A model that is open, and how many messages read it. */
interface Held {
  key: string;
  model: MergedModel;
  readers: number;
}

/**
 * The model that this isolate has opened last: headers, plan and packed factors; the next message is probably about the same job. Never a
 * promise: in workerd one request must not wait for what another one reads. And never two: an isolate has 128 MB.
 */
let held: Held | undefined;

/** Work with the merged model: the one that is held if it is of use, or one that is opened now. */
export async function withModel<T>(env: Env, request: JobRequest, isOfUse: (model: MergedModel) => boolean, work: (model: MergedModel) => Promise<T>): Promise<T> {
  const { out: _, force: __, ...asked } = request;
  const key = JSON.stringify(asked);
  if (held && !(held.key === key && isOfUse(held.model))) drop(held);
  const mine = held ?? { key, model: await openMerged(openOptions(request, env)), readers: 0 };
  // Two that came at once have each opened one.
  if (held && held !== mine) drop(held);
  held = mine;
  mine.readers++;
  try {
    return await work(mine.model);
  } finally {
    if (--mine.readers === 0 && held !== mine) mine.model.close();
  }
}

/** Whoever still reads it closes it. */
function drop(model: Held): void {
  if (held === model) held = undefined;
  if (model.readers === 0) model.model.close();
}

/** Whether a model has the very files that a job was begun for. The tags are of the adapters, the options and the base's own versions. */
export function isOf(job: Job, { files }: MergedModel): boolean {
  return files.length === job.files.length && files.every(({ name, size, etag }, number) => {
    const planned = job.files[number]!;
    return name === planned.name && size === planned.size && etag === planned.etag;
  });
}

/** Work with the model that a job was begun for. */
export function withModelOf<T>(env: Env, job: Job, work: (model: MergedModel) => Promise<T>): Promise<T> {
  return withModel(env, job.request, (model) => isOf(job, model), async (model) => {
    if (!isOf(job, model)) throw new LorafoldError("source-changed", "the base or an adapter is not what it was when the job was begun");
    return work(model);
  });
}
