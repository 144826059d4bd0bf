// @ts-check
// A web server whose every answer a test decides: broken ones too.
import { createServer } from "node:http";

/**
 * @typedef {{ status?: number, headers?: Record<string, string | number>, body?: Uint8Array, cutAfter?: number, silent?: boolean }} Answer `silent`: the connection ends before any of it
 * @typedef {{ name: string, range: [number, number] | undefined, count: number, file: Uint8Array | undefined, headers: import("node:http").IncomingHttpHeaders, query: string }} Asked `count`: how often the file was asked for before
 */

/** A correct answer with ranges. @param {Asked} asked @returns {Answer} */
export function correct({ range, file }) {
  if (!file) return { status: 404 };
  if (!range) return whole({ file });
  const [start, end] = [range[0], Math.min(range[1], file.length - 1)];
  return { status: 206, headers: { "Content-Range": `bytes ${start}-${end}/${file.length}` }, body: file.subarray(start, end + 1) };
}

/** A correct answer of a server without ranges that says how long the file is. @param {{ file: Uint8Array | undefined }} asked @returns {Answer} */
export function whole({ file }) {
  return file ? { status: 200, headers: { "Content-Length": file.length }, body: file } : { status: 404 };
}

/**
 * @param {Record<string, Uint8Array>} files by path, without the first slash
 * @param {(asked: Asked) => Answer} [answer]
 */
export async function scriptedServer(files, answer = correct) {
  /** @type {Record<string, number>} */
  const counts = {};
  const server = createServer((request, response) => {
    const { pathname, search: query } = new URL(request.url ?? "/", "http://test");
    const name = decodeURIComponent(pathname.slice(1));
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    counts[name] = (counts[name] ?? 0) + 1;
    const asked = { name, count: counts[name] - 1, file: files[name], headers: request.headers, query, range: from === undefined ? undefined : /** @type {[number, number]} */ ([Number(from), Number(to)]) };
    const { status = 200, headers = {}, body, cutAfter, silent } = answer(asked);
    if (silent) return void request.socket.resetAndDestroy();
    response.writeHead(status, headers);
    if (cutAfter === undefined || !body) return void response.end(body);
    // What was written must be on its way before the connection goes.
    response.write(body.subarray(0, cutAfter), () => setTimeout(() => response.destroy(), 20));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}/`,
    counts,
    close: () => /** @type {Promise<void>} */ (new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    })),
  };
}
