import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeStream } from "node:stream/web";
import { LorafoldError } from "../errors.js";
import type { MergedModel } from "../types.js";

/** A server that runs. */
export interface Listening {
  /** Such as `http://127.0.0.1:8417/`. */
  url: string;
  close(): Promise<void>;
}

/** Only this machine's own programs can connect. */
const HOST = "127.0.0.1";

/** Names that a request may call this server by: a page of another site that points its own name here must not read the model. */
const OWN_NAMES = new Set([HOST, "localhost", "[::1]"]);

/** Connections at once; each may have a block of the model in memory. More are closed as soon as they are made. */
const CONNECTIONS = 256;

/** For every answer: pages of other sites that this machine's browser shows may neither run it nor put it into theirs. */
const HEADERS = { "x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin" };

/** Serve a merged model on a port of this machine; 0 takes a free one. */
export async function listen(model: MergedModel, port: number): Promise<Listening> {
  const server = createServer((request, response) => {
    answer(model, request, response).catch(() => response.destroy());
  });
  server.maxConnections = CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(new LorafoldError("bad-option", `port ${port}: ${error.message}`, { field: "port", found: String(port), detail: error })));
    server.listen(port, HOST, resolve);
  });
  return {
    url: `http://${HOST}:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(model: MergedModel, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const gone = new AbortController();
  outgoing.once("close", () => gone.abort());
  const url = addressOf(incoming);
  if (!url) return void outgoing.writeHead(421, HEADERS).end();
  const isListing = url.pathname === "/" && (incoming.method === "GET" || incoming.method === "HEAD");
  const response = isListing ? listing(model) : await model.response(asRequest(url, incoming, gone.signal), { onError: (error) => gone.signal.aborted || tell(error) });
  outgoing.writeHead(response.status, { ...HEADERS, ...Object.fromEntries(response.headers) });
  if (!response.body || incoming.method === "HEAD") return void outgoing.end();
  await pipeline(Readable.fromWeb(response.body as NodeStream<Uint8Array>, { highWaterMark: 1 }), outgoing);
}

/** What is asked for; nothing where it is not this server's to give. */
function addressOf({ headers: { host = HOST }, url: target = "/" }: IncomingMessage): URL | undefined {
  // A target that is a whole URL says the host itself. Not by the rules for relative URLs: `//a` is a path here, not a host.
  const address = /^https?:/i.test(target) ? target : `http://${host}${target}`;
  if (!URL.canParse(address)) return undefined;
  const url = new URL(address);
  return OWN_NAMES.has(url.hostname) && url.username === "" && url.password === "" ? url : undefined;
}

/** Clients learn what an error's code is; who runs the server, what it is about. */
function tell(error: unknown): void {
  if (!(error instanceof LorafoldError)) console.error(error);
  else if (error.code !== "aborted") console.error(`lorafold: error [${error.code}]: ${error.message}`);
}

function listing({ files }: MergedModel): Response {
  return Response.json({ files });
}

function asRequest(url: URL, { method = "GET", headers }: IncomingMessage, signal: AbortSignal): Request {
  const pairs = Object.entries(headers).flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, String(value)]]));
  // `fetch` knows no TRACE and CONNECT; the answer to them is that of any other method that is not allowed.
  return new Request(url, { method: /^(TRACE|CONNECT|TRACK)$/i.test(method) ? "OPTIONS" : method, headers: pairs, signal });
}
