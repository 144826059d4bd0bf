import { fileError } from "../errors.js";
import { address } from "./address.js";
import type { Input, Role } from "./input.js";
import { NETWORK, type RequestOptions } from "./network.js";
import { isRun, ranged } from "./range.js";
import { discard, fetchFailed, readBody, refused, request } from "./request.js";
import { unlessStalledBody } from "./stall.js";
import { stateOf } from "./state.js";

/** Bytes of the first request for a file: most safetensors headers are shorter, and so are many whole files. */
const HEAD_BYTES = 1 << 16;

/**
 * Find out a file's size and whether its server has ranges, by a request for its first bytes: responses to `HEAD` lack the
 * length where the server compresses. `undefined` when there is no such file.
 */
export async function probe(url: string, name: string, role: Role, init: RequestOptions = {}): Promise<Input | undefined> {
  let response = await request(url, ranged(init, 0, HEAD_BYTES - 1));
  if (response.status === 416) {
    discard(response);
    const [, length] = /^bytes \*\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    if (Number(length) === 0) return { name, size: 0, blob: new Blob() };
    // Some servers refuse a range that ends beyond the end of the file.
    response = await request(url, length === undefined ? init : ranged(init, 0, Math.min(Number(length), HEAD_BYTES) - 1));
  }
  if (response.status === 206 && !isRun(response)) {
    discard(response);
    response = await request(url, init);
    if (response.status === 206) throw refused(url, response);
  }
  const state = stateOf(response);
  const input = { name, url, init, ...state };
  if (response.status === 206) {
    const head = await readHead(url, response, init);
    const [, last, total] = /^bytes 0-(\d+)\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    const whole = total !== undefined && head.length === Number(last) + 1;
    const size = total === undefined ? await sizeByHead(url, init) : Number(total);
    return { ...input, ranges: true, size, ...(whole && { head }) };
  }
  // No ranges. Weights of a base are read in one pass, however long; what needs random access is kept.
  if (response.ok && role === "base" && name.endsWith(".safetensors")) {
    discard(response);
    const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
    return { ...input, ranges: false, ...(length !== null && { size: Number(length) }) };
  }
  if (response.ok) {
    const blob = await readBody(url, response, (answer) => answer.blob(), init);
    return { name, size: blob.size, blob, ...state };
  }
  if (response.status !== 404 && response.status !== 410) throw refused(url, response);
  discard(response);
  return undefined;
}

/** The first bytes, and no more of them than were asked for. */
async function readHead(url: string, response: Response, init: RequestOptions): Promise<Uint8Array> {
  if (!response.body) return new Uint8Array(0);
  const reader = unlessStalledBody(response.body, (init.network ?? NETWORK).stallTimeout).getReader();
  const head = new Uint8Array(HEAD_BYTES);
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return head.slice(0, length);
      if (length + value.length > HEAD_BYTES) break;
      head.set(value, length);
      length += value.length;
    }
  } catch (error) {
    throw fetchFailed(url, error, init.signal ?? undefined);
  }
  // More came than was asked for. Reading the file will show what is wrong.
  reader.cancel().catch(() => undefined);
  return new Uint8Array(0);
}

async function sizeByHead(url: string, init: RequestOptions): Promise<number> {
  const response = await request(url, { ...init, method: "HEAD" });
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  if (response.ok && !Number.isNaN(length)) return length;
  throw fileError("fetch-failed", address(url), "the server does not say how large the file is (Content-Range, Content-Length)");
}
