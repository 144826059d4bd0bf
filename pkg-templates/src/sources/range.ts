import type { RequestOptions } from "./network.js";

/** Options of a request for bytes `first` to `last`, without content encoding: a range of an encoded body is not a range of the file. */
export function ranged(init: RequestOptions | undefined, first: number, last: number): RequestOptions {
  return { ...init, headers: { ...(init?.headers as Record<string, string> | undefined), range: `bytes=${first}-${last}`, "accept-encoding": "identity" } };
}

/**
 * Whether a 206 response is a single range of the file itself, not of an encoding of it. It must have `Content-Range`, unless it is of another origin, whose
 * server may hide the header from a page.
 */
export function isRun({ headers, type }: Response): boolean {
  if (!/^(identity)?$/i.test(headers.get("content-encoding") ?? "")) return false;
  if (/^multipart\//i.test(headers.get("content-type") ?? "")) return false;
  return type === "cors" || headers.has("content-range");
}
