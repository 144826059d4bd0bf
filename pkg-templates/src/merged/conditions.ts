/** The conditions and ranges of a request for a file with a strong entity tag (RFC 9110, sections 13 and 14). */

/** Whether `If-Match`, where there is one, holds. */
export function matches(headers: Headers, etag: string): boolean {
  const wanted = headers.get("if-match");
  return wanted === null || wanted.trim() === "*" || tags(wanted).includes(etag);
}

/** Whether the client has this version of the file already (`If-None-Match`, by weak comparison). */
export function isKnown(headers: Headers, etag: string): boolean {
  const known = headers.get("if-none-match");
  if (known === null) return false;
  return known.trim() === "*" || tags(known).some((tag) => tag.replace(/^W\//, "") === etag);
}

function tags(list: string): string[] {
  return list.match(/(?:W\/)?"[^"]*"/g) ?? [];
}

/** The bytes `start` up to `end` that `Range` asks for. */
export interface Wanted {
  start: number;
  end: number;
}

/** The longest `Range` header, in characters, that is parsed. */
const LONGEST = 200;

/**
 * The bytes that `Range` asks for, `"unsatisfiable"`, or `undefined` for the whole file. The whole file is also the response to other units, to
 * several ranges, and to a range of another version (`If-Range`).
 */
export function wantedRange(headers: Headers, etag: string, size: number): Wanted | "unsatisfiable" | undefined {
  const range = headers.get("range") ?? "";
  // No two `\s*` are adjacent: backtracking between them would take quadratic time.
  const found = range.length <= LONGEST && /^\s*bytes\s*=\s*(?:(\d+)\s*)?-\s*(?:(\d+)\s*)?$/i.exec(range);
  if (!found) return undefined;
  const [, from = "", to = ""] = found;
  if (from === "" && to === "") return undefined;
  const condition = headers.get("if-range");
  if (condition !== null && condition.trim() !== etag) return undefined;
  if (from === "") {
    // A suffix: the last `to` bytes.
    const length = Math.min(Number(to), size);
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size };
  }
  const start = Number(from);
  if (to !== "" && Number(to) < start) return undefined;
  if (start >= size) return "unsatisfiable";
  return { start, end: to === "" ? size : Math.min(Number(to) + 1, size) };
}
