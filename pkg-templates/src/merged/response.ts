import { asLorafoldError, type ErrorCode, LorafoldError, optionError } from "../errors.js";
import type { ResponseOptions, VirtualFile } from "../types.js";
import { isKnown, matches, wantedRange } from "./conditions.js";

type Bytes = ReadableStream<Uint8Array<ArrayBuffer>>;

/**
 * The response to a request for a file of a merged model. The last part of the path is the file's name. `open` gives a stream of its bytes, whose first
 * read must fail where the base cannot be read.
 */
export async function respond(
  files: readonly VirtualFile[],
  open: (name: string, start: number, end: number) => Bytes,
  request: Request,
  { onError }: ResponseOptions,
): Promise<Response> {
  if (typeof request?.url !== "string") throw optionError("request", "not a Request");
  const { method, headers } = request;
  if (method !== "GET" && method !== "HEAD") return failure(405, "bad-option", `${method} is not allowed`, { allow: "GET, HEAD" });
  const file = files.find(({ name }) => name === requestedName(request.url));
  if (!file) return failure(404, "bad-option", "the merged model has no such file");
  const { name, size, etag } = file;
  const about = { etag, "accept-ranges": "bytes", "cache-control": "no-cache, no-transform" };
  if (!matches(headers, etag)) return failure(412, "source-changed", `${name} is another than If-Match says`, about);
  if (isKnown(headers, etag)) return new Response(null, { status: 304, headers: about });
  const wanted = method === "GET" ? wantedRange(headers, etag, size) : undefined;
  if (wanted === "unsatisfiable") return failure(416, "bad-option", `${name} has ${size} bytes`, { ...about, "content-range": `bytes */${size}` });
  const { start, end } = wanted ?? { start: 0, end: size };
  const entity = {
    ...about,
    "content-type": contentType(file),
    "content-length": String(end - start),
    ...(wanted && { "content-range": `bytes ${start}-${end - 1}/${size}` }),
  };
  if (method === "HEAD") return new Response(null, { headers: entity });
  try {
    const body = await begun(open(name, start, end), onError);
    return new Response(measured(body, end - start), { status: wanted ? 206 : 200, headers: entity });
  } catch (error) {
    const thrown = asLorafoldError(error);
    if (!(thrown instanceof LorafoldError)) throw thrown;
    onError?.(thrown);
    // The message may name the base's server, which clients must not learn.
    return failure(STATUS[thrown.code] ?? 500, thrown.code, `${name} cannot be read: ${thrown.code}`, { "cache-control": "no-store" });
  }
}

/** The status for each error code; 500 for all others. None is the fault of the client, except that it went away. */
const STATUS: Partial<Record<ErrorCode, number>> = { "fetch-failed": 502, "no-range-support": 502, "source-changed": 503, aborted: 499 };

function requestedName(url: string): string | undefined {
  try {
    return decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "");
  } catch {
    return undefined;
  }
}

function failure(status: number, code: ErrorCode, message: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error: { code, message } }, { status, headers });
}

function contentType({ name }: VirtualFile): string {
  if (name.endsWith(".json")) return "application/json";
  return /\.(txt|md|jinja)$/.test(name) ? "text/plain; charset=utf-8" : "application/octet-stream";
}

/**
 * The same stream, after its first bytes have come: a failure before them gets a status of its own instead of a body that breaks off.
 */
async function begun(stream: Bytes, onError: ResponseOptions["onError"]): Promise<Bytes> {
  const reader = stream.getReader();
  let first: ReadableStreamReadResult<Uint8Array<ArrayBuffer>> | undefined = await reader.read();
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        try {
          const { done, value } = first ?? (await reader.read());
          first = undefined;
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          onError?.(error);
          throw error;
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Some edge runtimes send `Content-Length` only if the stream declares its length. */
function measured(body: Bytes, length: number): ReadableStream<Uint8Array> {
  const { FixedLengthStream } = globalThis as { FixedLengthStream?: new (length: number) => ReadableWritablePair<Uint8Array, Uint8Array> };
  return FixedLengthStream ? body.pipeThrough(new FixedLengthStream(length)) : body;
}
