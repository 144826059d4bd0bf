/** What the headers of a request ask of a file with a strong entity tag (RFC 9110, sections 13 and 14). */

/** Whether `If-Match`, where there is one, holds. */
export function matches(headers: Headers, etag: string): boolean {
  const wanted = headers.get("if-match");
  return wanted === null || wanted.trim() === "*" || tags(wanted).includes(etag);
}

/** Whether the client has this state of the file already (`If-None-Match`; a weak tag of the same file will do). */
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

/** Characters of a `Range` that may mean one. */
const LONGEST = 200;

/**
 * What `Range` asks for: bytes, `"unsatisfiable"` ones, or `undefined` for the whole file, which also answers what is no range of bytes, a
 * list of several, and a range of another state of the file (`If-Range`).
 */
export function wantedRange(headers: Headers, etag: string, size: number): Wanted | "unsatisfiable" | undefined {
  const range = headers.get("range") ?? "";
  // No two runs of spaces stand side by side: a search for where one ends and the other begins takes the square of their length.
  const found = range.length <= LONGEST && /^\s*bytes\s*=\s*(?:(\d+)\s*)?-\s*(?:(\d+)\s*)?$/i.exec(range);
  if (!found) return undefined;
  const [, from = "", to = ""] = found;
  if (from === "" && to === "") return undefined;
  const condition = headers.get("if-range");
  if (condition !== null && condition.trim() !== etag) return undefined;
  if (from === "") {
    // The last so many bytes.
    const length = Math.min(Number(to), size);
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size };
  }
  const start = Number(from);
  if (to !== "" && Number(to) < start) return undefined;
  if (start >= size) return "unsatisfiable";
  return { start, end: to === "" ? size : Math.min(Number(to) + 1, size) };
}
