import { LorafoldError } from "../errors.js";
import { address } from "./address.js";
import { discard } from "./request.js";

/** What a server says of the state that a file is in. */
export interface State {
  /** Its name for it: the ETag, else when the file was changed last. */
  version?: string;
  /** When the file was changed last. */
  modified?: string;
}

/** Nothing where the server says neither. */
export function stateOf({ headers }: Response): State {
  const modified = headers.get("last-modified");
  const version = headers.get("etag") ?? modified;
  return { ...(version !== null && { version }), ...(modified !== null && { modified }) };
}

/** Like is compared with like, and where a server has nothing left to compare the file may be any other. */
export function checkState(url: string, { version, modified }: State, response: Response): void {
  if (version === undefined) return;
  const etag = response.headers.get("etag");
  const [was, is] = version !== modified && etag !== null ? [version, etag] : [modified, response.headers.get("last-modified")];
  if (was !== undefined && was === is) return;
  discard(response);
  const what = was === undefined || is === null ? `the server no longer says which version it is; it was ${version}` : `it was ${was} and is now ${is}`;
  throw new LorafoldError("source-changed", `${address(url)}: ${what}`);
}
