import type { Env } from "./env.js";
import { cleanUp } from "./end.js";
import { isOpen, readJob } from "./job.js";
import { Refusal } from "./refusal.js";

/** After so many milliseconds, whoever has claimed a folder and begun no job is not coming back. */
const FORGOTTEN = 15 * 60_000;

/** Say that a folder is this job's to write. Two jobs at once would mix their shards. */
export async function claimOutput(env: Env, out: string, id: string): Promise<void> {
  const key = `${env.JOBS_PREFIX ?? ".lorafold-jobs"}/outputs/${out}`;
  for (;;) {
    const claim = await env.BUCKET.get(key);
    const owner = await claim?.text();
    if (owner === id) return;
    if (claim) {
      const other = (await readJob(env, owner!))?.job;
      if (other ? isOpen(other) : Date.now() - claim.uploaded.getTime() < FORGOTTEN) {
        throw new Refusal(409, "busy", `${out} is being written to by job ${owner}`);
      }
      if (other) await cleanUp(env, other);
    }
    const onlyIf = claim ? { etagMatches: claim.etag } : { etagDoesNotMatch: "*" };
    if (await env.BUCKET.put(key, id, { onlyIf })) return;
  }
}

/** Names of the files that are directly in a folder. */
export async function filesIn({ BUCKET }: Env, out: string): Promise<string[]> {
  const found: string[] = [];
  for (let cursor: string | undefined, more = true; more; ) {
    const page = await BUCKET.list({ prefix: `${out}/`, delimiter: "/", ...(cursor !== undefined && { cursor }) });
    for (const { key } of page.objects) found.push(key.slice(out.length + 1));
    more = page.truncated;
    cursor = page.truncated ? page.cursor : undefined;
  }
  return found;
}

/** Whether a file of this name makes a folder a model. */
export const isOfModel = (name: string): boolean => name === "config.json" || /\.(safetensors|index\.json)$/.test(name);
