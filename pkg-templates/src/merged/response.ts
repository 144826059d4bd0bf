import { asLorafoldError, type ErrorCode, LorafoldError } from "../errors.js";
import type { MergedModel, VirtualFile } from "../types.js";
import { isKnown, matches, wantedRange } from "./conditions.js";

/** The answer to a request for a file of a merged model; the last part of the path is the file's name. */
export async function respond(model: MergedModel, request: Request): Promise<Response> {
  const { method, headers } = request;
  if (method !== "GET" && method !== "HEAD") return failure(405, "bad-option", `${method} is not allowed`, { allow: "GET, HEAD" });
  const file = model.files.find(({ name }) => name === requestedName(request.url));
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
    const body = await begun(model.stream(name, start, end, { signal: request.signal }));
    return new Response(measured(body, end - start), { status: wanted ? 206 : 200, headers: entity });
  } catch (error) {
    const thrown = asLorafoldError(error);
    if (!(thrown instanceof LorafoldError)) throw thrown;
    return failure(STATUS[thrown.code] ?? 500, thrown.code, thrown.message, { "cache-control": "no-store" });
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
async function begun(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const reader = stream.getReader();
  let first: ReadableStreamReadResult<Uint8Array<ArrayBuffer>> | undefined = await reader.read();
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const { done, value } = first ?? (await reader.read());
        first = undefined;
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Some edge runtimes announce the length of a body only if its stream says it. */
function measured(body: ReadableStream<Uint8Array<ArrayBuffer>>, length: number): ReadableStream<Uint8Array> {
  const { FixedLengthStream } = globalThis as { FixedLengthStream?: new (length: number) => ReadableWritablePair<Uint8Array, Uint8Array> };
  return FixedLengthStream ? body.pipeThrough(new FixedLengthStream(length)) : body;
}
