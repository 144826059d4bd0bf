import type { Env } from "./env.js";
import { cleanUp } from "./end.js";
import { isOpen, readJob } from "./job.js";
import { listed } from "./listing.js";
import { Refusal } from "./refusal.js";

/** After so many milliseconds, whoever has claimed a folder and begun no job is not coming back. */
const FORGOTTEN = 15 * 60_000;

/**
 * Say that a folder is this job's to write. Two jobs at once would mix their shards.
 *
 * @returns the run that may be begun: it is what the claim is for, from before there is a state that says so.
 */
export async function claimOutput(env: Env, out: string, id: string): Promise<string> {
  const key = `${env.JOBS_PREFIX ?? ".lorafold-jobs"}/outputs/${out}`;
  for (;;) {
    const claim = await env.BUCKET.get(key);
    const [owner, claimed] = claim ? (await claim.text()).split(" ") : [];
    const job = owner === undefined ? undefined : (await readJob(env, owner))?.job;
    const begun = job !== undefined && job.run === claimed;
    if (owner === id) {
      if (begun && isOpen(job)) return job.run;
    } else if (claim) {
      const isComing = !begun && Date.now() - claim.uploaded.getTime() < FORGOTTEN;
      if ((job && isOpen(job)) || isComing) throw new Refusal(409, "busy", `${out} is being written to by job ${owner}`);
      if (job) await cleanUp(env, job);
    }
    // Others who begin the same job at once begin the same run.
    const run = owner === id && !begun && claimed !== undefined ? claimed : crypto.randomUUID();
    const onlyIf = claim ? { etagMatches: claim.etag } : { etagDoesNotMatch: "*" };
    if (await env.BUCKET.put(key, `${id} ${run}`, { onlyIf })) return run;
  }
}

/** Names of the files that are directly in a folder. */
export async function filesIn(env: Env, out: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of listed(env, `${out}/`, { delimiter: "/" })) found.push(key.slice(out.length + 1));
  // Some clients mark a folder by an object of its name.
  return found.filter((name) => name !== "");
}

/** Whether a file of this name makes a folder a model. */
export const isOfModel = (name: string): boolean => name === "config.json" || /\.(safetensors|index\.json)$/.test(name);
