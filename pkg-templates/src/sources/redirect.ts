import { isPersonal } from "./request.js";

/** As many as browsers follow. */
const MOST_REDIRECTS = 20;

/** Whether this platform shows no redirect to a script, as browsers do: it follows them itself, and takes `Authorization` along to no other origin. */
let followsItself = false;

/**
 * `fetch`, which takes the headers of its caller (tokens, say) along to no other origin. Where a platform shows redirects to scripts, they are followed here: some
 * would take every header along.
 */
export async function send(url: string, init: RequestInit): Promise<Response> {
  let headers = new Headers(init.headers);
  for (let at = url, redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    if (followsItself || !isPersonal(headers)) return fetch(at, { ...init, headers });
    const response = await fetch(at, { ...init, headers, redirect: "manual" });
    if (response.type === "opaqueredirect") {
      followsItself = true;
      continue;
    }
    const location = /^30[12378]$/.test(String(response.status)) ? response.headers.get("location") : null;
    if (location === null) return response;
    response.body?.cancel().catch(() => undefined);
    const next = new URL(location, at);
    if (next.protocol !== "https:" && next.protocol !== "http:") break;
    if (next.origin !== new URL(at).origin) headers = new Headers([...headers].filter(([name]) => !isPersonal({ [name]: "" })));
    at = next.href;
  }
  throw new TypeError("the server redirects too often, or to something that is not a web address");
}
