import type { Env } from "./env.js";
import { changeJob, type Job } from "./job.js";
import { sendParts, type Task } from "./task.js";
import { receiptsOf } from "./receipts.js";

/** Send a message for every part that is missing, of all files whose messages were not all sent yet. */
export async function queueParts(env: Env, job: Job): Promise<void> {
  const missing: Task[] = [];
  for (const [number, { parts, round, queued }] of job.files.entries()) {
    if (queued) continue;
    const there = new Set((await receiptsOf(env, job, number)).map(({ part }) => part));
    for (let part = 1; part <= parts; part++) {
      if (!there.has(part)) missing.push({ job: job.id, file: number, round, part });
    }
  }
  await sendParts(env, missing);
  await changeJob(env, job.id, (now) => {
    const sent = (number: number) => now.run === job.run && now.files[number]!.round === job.files[number]!.round;
    if (now.files.every(({ queued }, number) => queued || !sent(number))) return undefined;
    return { ...now, files: now.files.map((file, number) => ({ ...file, queued: file.queued || sent(number) })) };
  });
  // Where nothing is missing, no part will tell that it was the last.
  if (missing.length === 0) await env.QUEUE.send({ job: job.id, finish: true });
}
