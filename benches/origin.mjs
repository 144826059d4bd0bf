// @ts-check
// A process of its own that serves a folder with ranges and entity tags: what a base behind a URL costs is then not in anybody else's time.
//   node benches/origin.mjs FOLDER      prints its address
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { basename, join, sep } from "node:path";
import { parseRange } from "../tests/browser/parse-range.mjs";

const folder = process.argv[2];
const server = createServer((request, response) => {
  const path = join(folder, decodeURIComponent(new URL(request.url ?? "/", "http://origin").pathname));
  let facts;
  try {
    facts = path.startsWith(folder + sep) ? statSync(path) : undefined;
  } catch {
    facts = undefined;
  }
  if (!facts?.isFile()) return void response.writeHead(404).end();
  const wanted = parseRange(request.headers.range, facts.size);
  if (wanted === "unsatisfiable") return void response.writeHead(416, { "Content-Range": `bytes */${facts.size}` }).end();
  const [start, stop] = wanted === "whole" ? [0, facts.size] : wanted;
  const headers = { ETag: `"${basename(path)}-${facts.size}-${facts.mtimeMs}"`, "Accept-Ranges": "bytes", "Content-Length": stop - start };
  response.writeHead(wanted === "whole" ? 200 : 206, wanted === "whole" ? headers : { ...headers, "Content-Range": `bytes ${start}-${stop - 1}/${facts.size}` });
  if (start === stop || request.method === "HEAD") return void response.end();
  createReadStream(path, { start, end: stop - 1, highWaterMark: 1 << 20 }).pipe(response).on("close", () => undefined);
});
server.listen(0, "127.0.0.1", () => {
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  console.log(`http://127.0.0.1:${port}`);
});
