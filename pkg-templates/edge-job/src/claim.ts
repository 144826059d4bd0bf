import type { Env } from "./env.js";
import { cleanUp } from "./end.js";
import { isOpen, readJob } from "./job.js";
import { listed } from "./listing.js";
import { Refusal } from "./refusal.js";

/** That a folder is a job's to write. */
export interface Claim {
  id: string;
  /** The run that may be begun: it is what the claim is for, from before there is a state that says so. */
  run: string;
}

interface Starting extends Claim {
  /** How many requests are about to begin the run, all of the same job. Once its state is there, that says whether the folder is free. */
  starters: number;
}

/** A claim as it stands in the bucket, its version, and when it was written (milliseconds). */
interface StoredClaim extends Starting {
  version: string;
  written: number;
}

/** After so many milliseconds, whoever has claimed a folder and begun no job is not coming back. */
const FORGOTTEN = 15 * 60_000;

const claims = ({ JOBS_PREFIX = ".lorafold-jobs" }: Env) => `${JOBS_PREFIX}/outputs/`;

/** Where it stands that a folder is a job's. */
export const claimKey = (env: Env, out: string): string => `${claims(env)}${out}`;

/** Say that a folder is this job's to write. Two jobs at once would mix their shards. */
export async function claimOutput(env: Env, out: string, id: string): Promise<Claim> {
  for (;;) {
    const claim = await readClaim(env, out);
    const job = claim && (await readJob(env, claim.id))?.job;
    const begun = job !== undefined && job.run === claim?.run;
    if (claim?.id === id) {
      if (begun && isOpen(job)) return claim;
    } else if (claim) {
      const isComing = !begun && claim.starters > 0 && Date.now() - claim.written < FORGOTTEN;
      if ((job && isOpen(job)) || isComing) throw new Refusal(409, "busy", `${out} is being written to by job ${claim.id}`);
      if (job) await cleanUp(env, job);
    }
    // Others who begin the same job at once begin the same run.
    const joined = claim?.id === id && !begun ? claim : { id, run: crypto.randomUUID(), starters: 0 };
    const mine = { ...joined, starters: joined.starters + 1 };
    if (await writeClaim(env, out, mine, claim)) return mine;
  }
}

/** Whether the folder is still the claim's. */
export async function isClaimed(env: Env, out: string, { id, run }: Claim): Promise<boolean> {
  const now = await readClaim(env, out);
  return now?.id === id && now.run === run;
}

/** Nothing has come of a claim: the folder is free, unless others are about to begin the same run. */
export async function releaseOutput(env: Env, out: string, { id, run }: Claim): Promise<void> {
  for (;;) {
    const now = await readClaim(env, out);
    if (now?.id !== id || now.run !== run || now.starters === 0) return;
    if (await writeClaim(env, out, { ...now, starters: now.starters - 1 }, now)) return;
  }
}

/**
 * Take its folder from a job, begun or not. Whoever is about to begin it finds that the claim is not his any more before anything comes of it.
 *
 * @returns the folder; nothing where nobody has claimed it for this job.
 */
export async function revokeClaim(env: Env, id: string): Promise<string | undefined> {
  for await (const { key, customMetadata } of listed(env, claims(env))) {
    if (customMetadata?.job !== id) continue;
    const out = key.slice(claims(env).length);
    for (;;) {
      const now = await readClaim(env, out);
      if (now?.id !== id || now.starters === 0) return undefined;
      if (await writeClaim(env, out, { id, run: crypto.randomUUID(), starters: 0 }, now)) return out;
    }
  }
  return undefined;
}

async function readClaim(env: Env, out: string): Promise<StoredClaim | undefined> {
  const object = await env.BUCKET.get(claimKey(env, out));
  if (!object) return undefined;
  const [id, run, starters = "1"] = (await object.text()).split(" ") as [string, string, string?];
  return { id, run, starters: Number(starters), version: object.etag, written: object.uploaded.getTime() };
}

/** Write a claim unless somebody else has written another one than `before` meanwhile. */
async function writeClaim(env: Env, out: string, { id, run, starters }: Starting, before: StoredClaim | undefined): Promise<boolean> {
  const onlyIf = before ? { etagMatches: before.version } : { etagDoesNotMatch: "*" };
  return (await env.BUCKET.put(claimKey(env, out), `${id} ${run} ${starters}`, { onlyIf, customMetadata: { job: id } })) !== null;
}
