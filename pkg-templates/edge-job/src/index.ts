import { LorafoldError } from "lorafold/edge";
import { bearer } from "./access.js";
import { revokeClaim } from "./claim.js";
import { consume, giveUp } from "./consume.js";
import { ABORTED, failJob } from "./end.js";
import { checkVariables, type Env } from "./env.js";
import { readJob } from "./job.js";
import type { Task } from "./task.js";
import { asItStands, progressOf } from "./progress.js";
import { Refusal } from "./refusal.js";
import { parseRequest } from "./request.js";
import { startJob } from "./start.js";

/** Merges models in a bucket: begun and watched over HTTP, done by the consumers of a queue. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    try {
      if (!env.ACCESS_TOKEN) throw new Refusal(503, "no-token", "set the secret ACCESS_TOKEN: whoever has it may write to the bucket");
      if (!(await bearer(request, env.ACCESS_TOKEN))) throw new Refusal(401, "no-access", "a bearer token is asked for");
      return await answer(request, env);
    } catch (error) {
      return refused(error);
    }
  },

  async queue(batch: MessageBatch<Task>, env: Env): Promise<void> {
    const dead = batch.queue.endsWith("-dead");
    for (const message of batch.messages) await (dead ? giveUp(message, env) : consume(message, env));
  },
};

async function answer(request: Request, env: Env): Promise<Response> {
  const { pathname } = new URL(request.url);
  const route = `${request.method} ${pathname}`;
  if (route === "POST /jobs") {
    const given = await request.json().catch((error: unknown) => {
      throw new Refusal(400, "bad-option", `the request is not JSON: ${String(error)}`);
    });
    checkVariables(env);
    const job = await startJob(env, parseRequest(given, env));
    return Response.json(await progressOf(env, job), { status: job.status === "done" ? 200 : 202, headers: { location: `/jobs/${job.id}` } });
  }
  const [, method, id] = /^(GET|DELETE) \/jobs\/([0-9a-f]{32})$/.exec(route) ?? [];
  if (!id) throw new Refusal(404, "not-found", `no ${route} here`);
  // First, so that whoever is about to begin the job either has begun it when its state is looked for, or does not.
  const out = method === "DELETE" ? await revokeClaim(env, id) : undefined;
  const job = (await readJob(env, id))?.job;
  if (!job && out !== undefined) return Response.json({ id, status: "failed", out, error: ABORTED });
  if (!job) throw new Refusal(404, "not-found", "no such job");
  const now = method === "DELETE" ? await failJob(env, job, ABORTED) : job;
  return Response.json(await progressOf(env, await asItStands(env, now)));
}

/** Errors of lorafold are about what was asked for, but for those about what could not be reached. */
function refused(thrown: unknown): Response {
  const { code, message } = thrown as { code?: string; message?: string };
  const known = thrown instanceof Refusal || thrown instanceof LorafoldError;
  if (!known) console.error(thrown);
  const status = thrown instanceof Refusal ? thrown.status : !known || code === "internal" ? 500 : code === "fetch-failed" ? 502 : 422;
  return Response.json({ error: { code: known ? code : "failed", message: message ?? String(thrown) } }, {
    status,
    headers: { "cache-control": "no-store", ...(status === 401 && { "www-authenticate": "Bearer" }) },
  });
}
