import { LorafoldError, thrown } from "../errors.js";
import { pause } from "../pause.js";
import { address } from "./address.js";
import { unlessSilent, unlessSilentBody } from "./silence.js";

/** Does the waiting. */
export type Rest = (wait: () => Promise<void>) => Promise<void>;

/** Milliseconds before each further try; a server's `Retry-After` goes first. */
export const WAITS = [250, 500, 1000];

/** A server that wants to be left alone for longer than this is not waited for. */
const LONGEST_WAIT = 30_000;

/**
 * `fetch` that tries again while the server is too busy (429) or broken (5xx), or no answer comes. The last answer is given whatever it says.
 * Where nothing is under way while a server wants to be left alone, `rest` may make use of that.
 *
 * @throws {LorafoldError} `fetch-failed` where no answer comes, `aborted`.
 */
export async function request(url: string, init: RequestInit = {}, rest: Rest = (wait) => wait()): Promise<Response> {
  const signal = init.signal ?? undefined;
  for (let attempt = 0; ; attempt++) {
    let wait = WAITS[attempt] ?? Number.POSITIVE_INFINITY;
    try {
      const stop = new AbortController();
      // Browsers that cannot join them only do not end the request that is given up.
      const either = signal ? (AbortSignal.any?.([signal, stop.signal]) ?? signal) : stop.signal;
      const response = await unlessSilent(fetch(url, { ...init, signal: either }), () => stop.abort());
      wait = Math.max(wait, retryAfter(response));
      if (!passes(response.status) || wait > LONGEST_WAIT) return response;
      discard(response);
    } catch (error) {
      if (signal?.aborted || wait > LONGEST_WAIT) throw fetchFailed(url, error, signal);
    }
    await rest(() => pause(wait, signal));
  }
}

/** Nobody wants the body; a connection that dies over it is nobody's error. */
export function discard({ body }: Response): void {
  body?.cancel().catch(() => undefined);
}

/** Whether a status may be another one soon; 501 and 505 are about what the server cannot do. */
const passes = (status: number) => status === 429 || (status >= 500 && status !== 501 && status !== 505);

/** `Retry-After` in milliseconds: seconds, or a date. */
function retryAfter(response: Response): number {
  const text = response.headers.get("retry-after");
  if (text === null) return 0;
  const wait = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(wait) ? 0 : wait;
}

/** An answer that is none, as an error; nobody reads its body. */
export function refused(url: string, response: Response): LorafoldError {
  discard(response);
  return new LorafoldError("fetch-failed", `${address(url)}: the server answered ${`${response.status} ${response.statusText}`.trim()}`);
}

/** What `fetch`, or reading its answer, threw. */
export function fetchFailed(url: string, error: unknown, signal?: AbortSignal): LorafoldError {
  if (error instanceof LorafoldError) return error;
  if (signal?.aborted) return new LorafoldError("aborted", "aborted", { detail: signal.reason });
  const { message, cause } = thrown(error);
  const reason = [message, cause === undefined ? "" : thrown(cause).message].filter(Boolean).join(": ").replaceAll(url, address(url));
  return new LorafoldError("fetch-failed", `${address(url)}: ${reason}`, { detail: error });
}

/** Fetch a small file, or something that a server says, as a whole. */
export async function readAll<T>(url: string, read: (response: Response) => Promise<T>, init?: RequestInit): Promise<T> {
  const response = await request(url, init);
  if (!response.ok) throw refused(url, response);
  return readBody(url, response, read, init);
}

/** The body of an answer as a whole. */
export function readBody<T>(url: string, { body }: Response, read: (response: Response) => Promise<T>, init?: RequestInit): Promise<T> {
  return read(new Response(body && unlessSilentBody(body))).catch((error: unknown) => {
    throw fetchFailed(url, error, init?.signal ?? undefined);
  });
}

/** `work` for every item, `most` at a time; the first failure ends it. The results have the order of the items. */
export async function inFlight<T, R>(items: readonly T[], most: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length);
  const left = items.entries();
  let failed = false;
  const loop = async () => {
    for (const [index, item] of left) {
      if (failed) return;
      results[index] = await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, loop)).catch((error: unknown) => {
    failed = true;
    throw error;
  });
  return results;
}

/** Requests that one listing, or one merged model, has under way at a time: platforms at the edge allow six. */
export const MOST_IN_FLIGHT = 4;
