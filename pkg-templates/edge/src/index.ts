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
  answer.headers.set("cache-control", env.ACCESS_TOKEN ? `private, ${(env.CACHE_CONTROL ?? "no-cache").replace(/\bpublic\b,?\s*/g, "")}` : (env.CACHE_CONTROL ?? "no-cache"));
  return answer;
}

function refuse(status: number, message: string, headers: Record<string, string> = {}, code = "refused"): Response {
  return Response.json({ error: { code, message } }, { status, headers: { "cache-control": "no-store", ...headers } });
}
