import { bearer, isAllowed } from "./access.js";
import type { Env } from "./env.js";
import { mergedModel } from "./model.js";

/** Serves the files of a merged model that was never written. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    if (env.ACCESS_TOKEN && !(await bearer(request, env.ACCESS_TOKEN))) {
      return refuse(401, "a bearer token is asked for", { "www-authenticate": "Bearer" });
    }
    if (!isAllowed(new URL(request.url).pathname, env.ALLOW)) return refuse(404, "no such file here");
    try {
      const model = await mergedModel(env, request.signal);
      const response = await model.response(request, { onError: log });
      return response.ok || response.status === 304 ? cacheable(response, env) : response;
    } catch (error) {
      log(error);
      const { code = "failed" } = error as { code?: string };
      return refuse(code === "fetch-failed" || code === "source-changed" ? 502 : 500, "the model cannot be opened: the log says why", {}, code);
    }
  },
};

/** Where the base is, and what it answers, is for the log alone. */
function log(error: unknown): void {
  const { code = "failed", message } = error as { code?: string; message: string };
  if (code !== "aborted") console.error(code, message);
}

function cacheable(response: Response, env: Env): Response {
  const answer = new Response(response.body, response);
  answer.headers.set("cache-control", cacheControl(env));
  return answer;
}

/** Where a token is needed, no cache on the way may keep an answer for others, whatever else is wanted of caches. */
function cacheControl({ ACCESS_TOKEN, CACHE_CONTROL = "no-cache" }: Env): string {
  if (!ACCESS_TOKEN) return CACHE_CONTROL;
  const wanted = CACHE_CONTROL.split(",").map((directive) => directive.trim());
  return ["private", ...wanted.filter((directive) => directive !== "" && !/^(public|private)$/i.test(directive))].join(", ");
}

function refuse(status: number, message: string, headers: Record<string, string> = {}, code = "refused"): Response {
  return Response.json({ error: { code, message } }, { status, headers: { "cache-control": "no-store", ...headers } });
}
