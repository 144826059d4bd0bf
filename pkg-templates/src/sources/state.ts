import { fileError } from "../errors.js";
import { address } from "./address.js";
import { discard } from "./request.js";

/** Which version of a file a server has. */
export interface State {
  /** The ETag; without one, the value of `Last-Modified`. */
  version?: string;
  /** The value of `Last-Modified`. */
  modified?: string;
}

/** Reads both from the headers. Empty where the server sends neither. */
export function stateOf({ headers }: Response): State {
  const modified = headers.get("last-modified");
  const version = headers.get("etag") ?? modified;
  return { ...(version !== null && { version }), ...(modified !== null && { modified }) };
}

/**
 * Check that a response is of the version that was listed. ETags are compared with ETags, dates with dates.
 *
 * @throws {LorafoldError} `source-changed` where they differ, or where the server no longer sends what was listed: the file may be another one.
 */
export function checkState(url: string, { version, modified }: State, response: Response): void {
  if (version === undefined) return;
  const etag = response.headers.get("etag");
  const [was, is] = version !== modified && etag !== null ? [version, etag] : [modified, response.headers.get("last-modified")];
  if (was !== undefined && was === is) return;
  discard(response);
  const what = was === undefined || is === null ? `the server no longer says which version it is; it was ${version}` : `it was ${was} and is now ${is}`;
  throw fileError("source-changed", address(url), what);
}
