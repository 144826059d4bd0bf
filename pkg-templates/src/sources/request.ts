import { aborted, type ErrorFacts, fileError, LorafoldError, thrown } from "../errors.js";
import { pause } from "../pause.js";
import { address } from "./address.js";
import { ChunkReader, unlessStalledBody } from "./chunks.js";
import { NETWORK, type RequestOptions } from "./network.js";
import { unlessStalled } from "./stall.js";

/** Runs the wait before a retry. A caller can give up what it holds meanwhile, so that others can use it. */
export type RetryWait = (wait: () => Promise<void>) => Promise<void>;

/** The longest wait, in milliseconds, that a server may ask for. Where it asks for more, there is no retry. */
const LONGEST_WAIT = 30_000;

/**
 * `fetch` that retries while the server is too busy (429) or fails (5xx), or no response comes. Gives the last response, whatever its status.
 * Waits before retries run inside `retryWait`, while no request is under way.
 *
 * @throws {LorafoldError} `fetch-failed` where no response comes, `aborted`.
 */
export async function request(url: string, options: RequestOptions = {}, retryWait: RetryWait = (wait) => wait()): Promise<Response> {
  const { network = NETWORK, hub: _, ...init } = options;
  const signal = init.signal ?? undefined;
  for (let attempt = 0; ; attempt++) {
    let wait = network.retryDelays[attempt] ?? Number.POSITIVE_INFINITY;
    try {
      const stop = new AbortController();
      // Browsers without `AbortSignal.any` do not end a request that has stalled; everything else works the same.
      const either = signal ? (AbortSignal.any?.([signal, stop.signal]) ?? signal) : stop.signal;
      const asked = { ...init, signal: either };
      const answer = isPersonal(init.headers) ? import("./redirect.js").then(({ send }) => send(url, asked)) : fetch(url, asked);
      const response = await unlessStalled(answer, network.stallTimeout, () => stop.abort());
      wait = Math.max(wait, retryAfter(response));
      if (!(isTemporary(response.status) || hasExpired(url, response)) || wait > LONGEST_WAIT) return response;
      discard(response);
    } catch (error) {
      if (signal?.aborted || wait > LONGEST_WAIT) throw fetchFailed(url, error, signal);
    }
    await retryWait(() => pause(wait, signal));
  }
}

/** Whether headers say who asks, and not only what is asked for. */
export const isPersonal = (headers?: HeadersInit): boolean => [...new Headers(headers).keys()].some((name) => !/^(range|accept.*)$/.test(name));

/** Drop the body of a response unread. Errors of its connection do not matter any more. */
export function discard({ body }: Response): void {
  body?.cancel().catch(() => undefined);
}

/** The most bytes of a body that are read only to keep its connection. */
const SHORT_BODY = 64 << 10;

/** Read a short body to its end, so that its connection serves the next request; drop a longer one. */
export async function finish({ body }: Response, { network = NETWORK }: RequestOptions): Promise<void> {
  if (!body) return;
  const reader = new ChunkReader(body, network.stallTimeout);
  try {
    for (let length = 0, chunk; length <= SHORT_BODY && (chunk = await reader.read()); ) length += chunk.length;
  } catch {
    // Errors of its connection do not matter any more.
  }
  reader.cancel().catch(() => undefined);
}

/** Whether a retry may succeed; 501 and 505 say that the server never can. */
const isTemporary = (status: number) => status === 429 || (status >= 500 && status !== 501 && status !== 505);

/** Whether the address that a server redirected to is signed, and was so for too short a time: the server gives another. */
const hasExpired = (url: string, { status, url: last }: Response) => status === 403 && last !== "" && new URL(last).origin !== new URL(url, last).origin;

/** `Retry-After` in milliseconds: seconds, or a date. The hub says the same in `RateLimit`. */
function retryAfter({ headers }: Response): number {
  const text = headers.get("retry-after") ?? /(?:^|;)t=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1] ?? null;
  if (text === null) return 0;
  const wait = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(wait) ? 0 : wait;
}

/** The error for a response whose status is a failure. Its body is dropped unread. */
export async function refused(url: string, response: Response, { hub, headers }: RequestOptions = {}): Promise<LorafoldError> {
  discard(response);
  const { status, statusText } = response;
  if (hub !== undefined && status !== 429 && !hasExpired(url, response)) {
    const { hubRefusal } = await import("./hub-refusal.js");
    return hubRefusal(url, response, hub, new Headers(headers).has("authorization"));
  }
  const answer = `${status} ${statusText}`.trim();
  const wait = status === 429 ? Math.ceil(retryAfter(response) / 1000) : 0;
  const fix = status === 429 ? `try again ${wait > 0 ? `in ${wait} s` : "later"}` : undefined;
  return fileError("fetch-failed", address(url), `the server answered ${answer}`, { found: answer, ...statusFacts(response), ...(fix && { fix }) });
}

/** What a status says beside that it is a failure. */
export function statusFacts({ status }: Pick<Response, "status">): ErrorFacts {
  if (status === 401 || status === 403) return { kind: "access-denied" };
  if (status === 429) return { kind: "rate-limited" };
  return status === 404 || status === 410 ? { kind: "not-found" } : {};
}

/** What `fetch`, or reading its response, threw, as one of our errors. */
export function fetchFailed(url: string, error: unknown, signal?: AbortSignal): LorafoldError {
  if (error instanceof LorafoldError) return error;
  if (signal?.aborted) return aborted(signal.reason);
  const { message, cause } = thrown(error);
  const reason = [message, cause === undefined ? "" : thrown(cause).message].filter(Boolean).join(": ").replaceAll(url, address(url));
  return fileError("fetch-failed", address(url), reason, { detail: error });
}

/** Fetch a small file, or something that a server says, as a whole. */
export async function readAll<T>(url: string, read: (response: Response) => Promise<T>, init?: RequestOptions): Promise<T> {
  const response = await request(url, init);
  if (!response.ok) throw await refused(url, response, init);
  return readBody(url, response, read, init);
}

/** Read the whole body of a response. */
export function readBody<T>(url: string, { body }: Response, read: (response: Response) => Promise<T>, options: RequestOptions = {}): Promise<T> {
  const { stallTimeout } = options.network ?? NETWORK;
  return read(new Response(body && unlessStalledBody(body, stallTimeout))).catch((error: unknown) => {
    throw fetchFailed(url, error, options.signal ?? undefined);
  });
}
