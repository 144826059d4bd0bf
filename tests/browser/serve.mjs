// @ts-check
// A static web server for tests: it remembers every request, and can be as slow, as forgetful or as broken as a real one.
import { EventEmitter, once } from "node:events";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { parseRange } from "./parse-range.mjs";

/**
 * @typedef {object} Logged
 * @property {string} method
 * @property {string} path with its query
 * @property {string | undefined} range the Range header
 * @property {number} status
 * @property {number} sent bytes of the body that were handed to the connection
 * @property {boolean} complete false while it runs, and for good when the client or `cutAfter` ended it early
 */

/**
 * @typedef {object} Behaviour
 * @property {boolean} ranges false: Range is ignored, every answer is 200 in chunks, with no Content-Length or Accept-Ranges
 * @property {false | "bare" | "exposed"} cors "bare" allows other origins, "exposed" also lets them read the range headers
 * @property {boolean} etag
 * @property {number} latency ms before the first byte of every answer
 * @property {number} chunkSize bytes written at a time when chunkDelay is set
 * @property {number} chunkDelay ms after each chunk; 0 sends as fast as it goes
 * @property {{ count: number, status: number, path?: RegExp } | undefined} failFirst counts down with each failure
 * @property {number | undefined} cutAfter bytes of a body after which the connection is destroyed
 * @property {Record<string, string>} headers added to every answer
 */

/**
 * @typedef {object} TestServer
 * @property {string} origin such as http://127.0.0.1:40123
 * @property {Logged[]} requests
 * @property {number} connections how many have been opened
 * @property {() => Promise<Logged>} next the next request, once it has come
 * @property {(request: Logged) => Promise<void>} ended resolves when a request is complete or was ended early
 * @property {(changes: Partial<Behaviour>) => void} set changes how it behaves from the next request on
 * @property {() => Promise<void>} close
 */

/** @type {Record<string, string>} */
const types = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".safetensors": "application/octet-stream",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};

/** @type {Behaviour} */
const wellBehaved = {
  ranges: true, cors: false, etag: true, latency: 0, chunkSize: 65536, chunkDelay: 0, failFirst: undefined, cutAfter: undefined, headers: {},
};

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * @param {string | Record<string, string>} folders one folder, or folders by the path they are served under ("/": …, "/pkg/": …)
 * @param {Partial<Behaviour>} [options]
 * @returns {Promise<TestServer>}
 */
export async function serve(folders, options = {}) {
  const mounts = Object.entries(typeof folders === "string" ? { "/": folders } : folders)
    .map(([prefix, folder]) => ({ prefix: prefix.endsWith("/") ? prefix : `${prefix}/`, folder }))
    .sort((a, b) => b.prefix.length - a.prefix.length);
  const behaviour = { ...wellBehaved, ...options };
  /** @type {Logged[]} */
  const requests = [];
  const arrivals = new EventEmitter();
  /** @type {WeakMap<Logged, Promise<void>>} */
  const ends = new WeakMap();

  let connections = 0;
  const server = createServer((request, response) => {
    /** @type {Logged} */
    const logged = {
      method: request.method ?? "", path: request.url ?? "", range: request.headers.range, status: 0, sent: 0, complete: false,
    };
    ends.set(logged, new Promise((resolve) => response.once("close", resolve)));
    requests.push(logged);
    arrivals.emit("request", logged);
    answer(request, response, logged, mounts, behaviour).catch((error) => response.destroy(error));
  });
  server.on("connection", () => void connections++);
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    origin: `http://127.0.0.1:${port}`,
    requests,
    get connections() {
      return connections;
    },
    ended: async (request) => ends.get(request),
    next: async () => (await once(arrivals, "request"))[0],
    set: (changes) => void Object.assign(behaviour, changes),
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @param {import("node:http").ServerResponse} response
 * @param {Logged} logged
 * @param {{ prefix: string, folder: string }[]} mounts
 * @param {Behaviour} behaviour
 */
async function answer(request, response, logged, mounts, behaviour) {
  for (const [name, value] of Object.entries(behaviour.headers)) response.setHeader(name, value);
  if (behaviour.cors) response.setHeader("Access-Control-Allow-Origin", "*");
  if (behaviour.cors === "exposed") {
    response.setHeader("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range, ETag");
  }
  if (behaviour.latency > 0) await pause(behaviour.latency);

  /** @param {number} status */
  const end = (status) => {
    logged.status = status;
    logged.complete = true;
    response.writeHead(status).end();
  };
  if (request.method === "OPTIONS") {
    response.setHeader("Access-Control-Allow-Methods", "GET, HEAD");
    response.setHeader("Access-Control-Allow-Headers", "Range, If-Match, If-Range, If-None-Match, Authorization");
    return end(behaviour.cors ? 204 : 405);
  }
  const failing = behaviour.failFirst;
  if (failing && failing.count > 0 && (!failing.path || failing.path.test(logged.path))) {
    failing.count--;
    return end(failing.status);
  }
  if (request.method !== "GET" && request.method !== "HEAD") return end(405);

  const found = await findFile(new URL(logged.path, "http://test").pathname, mounts);
  if (!found) return end(404);
  const { file, size, modified } = found;
  response.setHeader("Content-Type", types[extname(file)] ?? "application/octet-stream");
  const tag = `"${size.toString(16)}-${Math.round(modified).toString(16)}"`;
  if (behaviour.etag) {
    response.setHeader("ETag", tag);
    if (request.headers["if-none-match"] === tag) return end(304);
    if (request.headers["if-match"] && request.headers["if-match"] !== tag) return end(412);
  }

  let start = 0;
  let stop = size;
  logged.status = 200;
  if (behaviour.ranges) {
    response.setHeader("Accept-Ranges", "bytes");
    const stillSame = !request.headers["if-range"] || request.headers["if-range"] === tag;
    const range = stillSame ? parseRange(logged.range, size) : "whole";
    if (range === "unsatisfiable") {
      response.setHeader("Content-Range", `bytes */${size}`);
      return end(416);
    }
    if (range !== "whole") {
      [start, stop] = range;
      logged.status = 206;
      response.setHeader("Content-Range", `bytes ${start}-${stop - 1}/${size}`);
    }
    response.setHeader("Content-Length", stop - start);
  }
  response.writeHead(logged.status);
  if (request.method === "HEAD" || start === stop) {
    logged.complete = true;
    return void response.end();
  }
  await sendFile(file, start, stop, response, logged, behaviour);
}

/**
 * @param {string} path
 * @param {{ prefix: string, folder: string }[]} mounts
 */
async function findFile(path, mounts) {
  const mount = mounts.find(({ prefix }) => path.startsWith(prefix));
  if (!mount) return undefined;
  const inside = normalize(decodeURIComponent(path.slice(mount.prefix.length)));
  if (inside === ".." || inside.startsWith(`..${sep}`)) return undefined;
  for (const file of [join(mount.folder, inside), join(mount.folder, inside, "index.html")]) {
    const facts = await stat(file).catch(() => undefined);
    if (facts?.isFile()) return { file, size: facts.size, modified: facts.mtimeMs };
  }
  return undefined;
}

/**
 * @param {string} file
 * @param {number} start
 * @param {number} stop exclusive
 * @param {import("node:http").ServerResponse} response
 * @param {Logged} logged
 * @param {Behaviour} behaviour
 */
async function sendFile(file, start, stop, response, logged, behaviour) {
  const { chunkDelay, chunkSize, cutAfter } = behaviour;
  const stream = createReadStream(file, { start, end: stop - 1, highWaterMark: chunkSize });
  for await (const chunk of stream) {
    if (response.destroyed) return;
    const cut = cutAfter !== undefined && logged.sent + chunk.length > cutAfter;
    const part = cut ? chunk.subarray(0, cutAfter - logged.sent) : chunk;
    logged.sent += part.length;
    // Before the last byte leaves: a client that has everything must find this set.
    logged.complete = logged.sent === stop - start;
    const roomLeft = response.write(part);
    if (cut) {
      // What was written must be on its way before the connection goes.
      await pause(20);
      return void response.destroy();
    }
    if (!roomLeft) await roomOrEnd(response);
    if (chunkDelay > 0) await pause(chunkDelay);
  }
  response.end();
}

/** @param {import("node:http").ServerResponse} response @returns {Promise<void>} */
function roomOrEnd(response) {
  return new Promise((resolve) => {
    const go = () => {
      response.off("drain", go).off("close", go);
      resolve();
    };
    response.on("drain", go).on("close", go);
  });
}
