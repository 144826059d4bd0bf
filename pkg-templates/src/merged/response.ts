import { asLorafoldError, type ErrorCode, LorafoldError } from "../errors.js";
import type { ResponseOptions, VirtualFile } from "../types.js";
import { isKnown, matches, wantedRange } from "./conditions.js";

type Bytes = ReadableStream<Uint8Array<ArrayBuffer>>;

/**
 * The answer to a request for one of the files of a merged model, which `open` reads; the last part of the path is the file's name. The stream's
 * first bytes are to be there when what they come from can be read.
 */
export async function respond(
  files: readonly VirtualFile[],
  open: (name: string, start: number, end: number) => Bytes,
  request: Request,
  { onError }: ResponseOptions,
): Promise<Response> {
  if (typeof request?.url !== "string") throw new LorafoldError("bad-option", "request: not a Request");
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
    // Its own words name the base's server, and are not for everybody.
    return failure(STATUS[thrown.code] ?? 500, thrown.code, `${name} cannot be read: ${thrown.code}`, { "cache-control": "no-store" });
  }
}

/** What an error says to a client: the fault is never its own. */
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
 * The same stream once its first bytes are there: what fails before them is an answer of its own, not a body that breaks off.
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

/** Some edge runtimes announce the length of a body only if its stream says it. */
function measured(body: Bytes, length: number): ReadableStream<Uint8Array> {
  const { FixedLengthStream } = globalThis as { FixedLengthStream?: new (length: number) => ReadableWritablePair<Uint8Array, Uint8Array> };
  return FixedLengthStream ? body.pipeThrough(new FixedLengthStream(length)) : body;
}
