// @ts-check
// The Range header, as far as one range goes (RFC 9110, section 14).

/**
 * @param {string | undefined} header
 * @param {number} size
 * @returns {"whole" | "unsatisfiable" | [start: number, stop: number]} stop is exclusive
 */
export function parseRange(header, size) {
  // What isn't understood, several ranges among it, is answered as if it weren't there.
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return "whole";
  if (match[1] === "") {
    const length = Math.min(Number(match[2]), size);
    return length === 0 ? "unsatisfiable" : [size - length, size];
  }
  const start = Number(match[1]);
  const last = match[2] === "" ? size - 1 : Number(match[2]);
  if (last < start && match[2] !== "") return "whole";
  return start >= size ? "unsatisfiable" : [start, Math.min(last + 1, size)];
}
