/** A request for the bytes `first` to `last`, as they are: of a file that is encoded on its way they would be bytes of the encoding. */
export function ranged(init: RequestInit | undefined, first: number, last: number): RequestInit {
  return { ...init, headers: { ...(init?.headers as Record<string, string> | undefined), range: `bytes=${first}-${last}`, "accept-encoding": "identity" } };
}

/** Whether a partial answer is one run of the file's own bytes, and says which: only servers of other origins may hide that from a page. */
export function isRun({ headers, type }: Response): boolean {
  if (!/^(identity)?$/i.test(headers.get("content-encoding") ?? "")) return false;
  if (/^multipart\//i.test(headers.get("content-type") ?? "")) return false;
  return type === "cors" || headers.has("content-range");
}
