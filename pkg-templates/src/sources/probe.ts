import { fileError, throwIfAborted } from "../errors.js";
import { address } from "./address.js";
import type { Input, Role } from "./input.js";
import { ChunkReader } from "./chunks.js";
import type { ListingLimits } from "./limits.js";
import { NETWORK, type RequestOptions } from "./network.js";
import { isRun, ranged } from "./range.js";
import { RemoteFile } from "./remote.js";
import { discard, finish, readBody, refused, request } from "./request.js";
import { stateOf } from "./state.js";
import type { Turns } from "./turns.js";

/** Bytes of the first request for a file: most safetensors headers are shorter, and so are many whole files. */
const HEAD_BYTES = 1 << 16;

/**
 * Find out a file's size and whether its server has ranges, by a request for its first bytes: responses to `HEAD` lack the
 * length where the server compresses. Weights of an adapter are read at once as a whole where there is room. `undefined` when there is no such file.
 */
export async function probe(url: string, name: string, role: Role, init: RequestOptions, { turns, room }: ListingLimits): Promise<Input | undefined> {
  const wanted = role === "adapter" && name.endsWith(".safetensors") ? Math.max(HEAD_BYTES, room.left) : HEAD_BYTES;
  let response = await request(url, ranged(init, 0, wanted - 1));
  if (response.status === 416) {
    await finish(response, init);
    const [, length] = /^bytes \*\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    if (Number(length) === 0) return { name, size: 0, blob: new Blob() };
    // Some servers refuse a range that ends beyond the end of the file.
    response = await request(url, length === undefined ? init : ranged(init, 0, Math.min(Number(length), wanted) - 1));
  }
  if (response.status === 206 && !isRun(response)) {
    discard(response);
    response = await request(url, init);
    if (response.status === 206) throw await refused(url, response, init);
  }
  const state = stateOf(response);
  const input = { name, url, init, ...state };
  if (response.status === 206) {
    const [, last, total] = /^bytes 0-(\d+)\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    if (total === undefined) {
      discard(response);
      return { ...input, ranges: true, size: await sizeByHead(url, init) };
    }
    const size = Number(total);
    const held = wanted > HEAD_BYTES && room.take(size);
    const head = await readHead(response, Math.min(Number(last) + 1, held ? size : HEAD_BYTES), Number(last) + 1, turns, init);
    const remote = { ...input, ranges: true, size, ...(head && { head }) };
    return held ? { name, size, bytes: await new RemoteFile(remote).read(0, size), ...state } : remote;
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
  if (response.status !== 404 && response.status !== 410) throw await refused(url, response, init);
  // Most of the names that are tried in a folder are not there.
  await finish(response, init);
  return undefined;
}

/**
 * The first `count` bytes of a response that should have `all`, fewer where its connection is lost: what is missing is then asked for when it is read. Nothing
 * where more came than was asked for: reading the file will show what is wrong.
 */
async function readHead({ body }: Response, count: number, all: number, turns: Turns, init: RequestOptions): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const head = new Uint8Array(count);
  if (!body) return undefined;
  const reader = new ChunkReader(body, (init.network ?? NETWORK).stallTimeout);
  let length = 0;
  try {
    for (let chunk; (chunk = await reader.read()); ) {
      if (length + chunk.length > all) return undefined;
      head.set(chunk.subarray(0, count - length), length);
      length += chunk.length;
      if (length >= count && count < all) break;
      turns.throwIfStopped();
    }
  } catch {
    throwIfAborted(init.signal ?? undefined);
    turns.throwIfStopped();
  } finally {
    reader.cancel().catch(() => undefined);
  }
  return head.subarray(0, Math.min(length, count));
}

async function sizeByHead(url: string, init: RequestOptions): Promise<number> {
  const response = await request(url, { ...init, method: "HEAD" });
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  if (response.ok && !Number.isNaN(length)) return length;
  throw fileError("fetch-failed", address(url), "the server does not say how large the file is (Content-Range, Content-Length)");
}
