// @ts-check
// A hub for the tests that behaves like the real one: commits, pages of a tree, large files behind signed addresses of another host, tokens, gated and private
// repositories, refusals with their codes, servers that are busy, and the protocol of uploads.
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";

/**
 * @typedef {{ name: string, commits: Map<string, Map<string, Buffer>>, refs: Record<string, string>, gated: boolean, private: boolean, tags: string[] }} Repository
 * @typedef {{ host: "hub" | "storage", method: string, path: string, authorization: string | undefined }} Asked
 * @typedef {{ user: string, write?: boolean, accepted?: string[], sees?: string[] }} Account
 * @typedef {{ status?: number, headers?: Record<string, string | number>, body?: string | Buffer, json?: unknown, code?: string, message?: string }} Answer
 */

/** What the hub keeps in Git LFS. @param {string} path @param {number} size */
const isLarge = (path, size) => /\.(safetensors|bin|gguf|msgpack|model)$/.test(path) || size > 10 << 20;

/** @param {Uint8Array} bytes */
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
/** @param {Uint8Array} bytes */
const gitHash = (bytes) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

/** A browser asks first, and hides what is not named here. */
const CORS = {
  "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "*", "Access-Control-Allow-Headers": "authorization, range, content-type, *",
  "Access-Control-Expose-Headers": "X-Repo-Commit, X-Error-Code, X-Error-Message, ETag, Link, Accept-Ranges, Content-Range, X-Linked-ETag, RateLimit, Retry-After",
};

/** @param {{ pageSize?: number, partSize?: number }} [settings] entries of a page of the tree; bytes above which an upload is in parts */
export async function fakeHub({ pageSize = 1000, partSize = 1 << 20 } = {}) {
  /** @type {Map<string, Repository>} */
  const repositories = new Map();
  /** Old names by new ones. @type {Record<string, string>} */
  const moved = {};
  /** @type {Map<string, Account>} */
  const accounts = new Map();
  /** Large files that were uploaded, by their sha256. @type {Map<string, Buffer>} */
  const objects = new Map();
  /** @type {Map<string, Map<number, Buffer>>} */
  const uploads = new Map();
  /** Signatures that hold for one request each. @type {Set<string>} */
  const signatures = new Set();
  /** @type {Asked[]} */
  const asked = [];
  /** The next so many requests get this; `match`: only those whose path matches. @type {{ host: string, match: RegExp, times: number, answer: Answer }[]} */
  const troubles = [];
  /** @type {(path: string) => void} */
  let onAsk = () => {};

  /** Files at a new commit of a repository's branch. @param {string} name @param {Record<string, Buffer | string>} files @param {{ branch?: string, gated?: boolean, private?: boolean, tags?: string[] }} [about] */
  function push(name, files, { branch = "main", ...about } = {}) {
    /** @type {Repository} */
    const repository = repositories.get(name) ?? { name, commits: new Map(), refs: {}, gated: false, private: false, tags: [] };
    repositories.set(name, Object.assign(repository, about));
    const commit = randomBytes(20).toString("hex");
    repository.commits.set(commit, new Map(Object.entries(files).map(([path, bytes]) => [path, Buffer.from(bytes)])));
    repository.refs[branch] = commit;
    return commit;
  }

  /** The files of a branch by now. @param {string} name @param {string} [branch] */
  function files(name, branch = "main") {
    const repository = repositories.get(name);
    return Object.fromEntries(repository?.commits.get(repository.refs[branch] ?? "") ?? []);
  }

  /** A signed address of the storage. @param {string} path */
  function signed(path) {
    const signature = randomBytes(8).toString("hex");
    signatures.add(signature);
    return `${storage.url}/${path}?X-Amz-Expires=1&X-Amz-Signature=${signature}`;
  }

  /** @param {import("node:http").IncomingMessage} request @returns {Account | undefined | "unknown"} */
  function account({ headers: { authorization } }) {
    if (authorization === undefined) return undefined;
    return accounts.get(authorization.replace(/^Bearer /, "")) ?? "unknown";
  }

  /** @param {number} status @param {string} code @param {string} message @returns {Answer} */
  const refusal = (status, code, message) => ({ status, code, message, json: { error: message } });

  /** Which repository a request may see, or why none. @param {string} name @param {Account | undefined} reader @returns {Repository | Answer} */
  function visible(name, reader) {
    const repository = repositories.get(name);
    const seen = repository && (!repository.private || reader?.user === name.split("/")[0] || reader?.sees?.includes(name));
    if (seen) return repository;
    return reader ? refusal(404, "RepoNotFound", "Repository not found") : refusal(401, "RepoNotFound", "Repository not found");
  }

  /** @param {Repository} repository @param {string} revision */
  const commitOf = ({ refs, commits }, revision) => (commits.has(revision) ? revision : refs[revision]);

  /** @param {Buffer} bytes @param {import("node:http").IncomingMessage} request @param {Record<string, string>} headers @returns {Answer} */
  function ranged(bytes, { headers: { range } }, headers) {
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
    if (from === undefined) return { headers: { ...headers, "Content-Length": bytes.length }, body: bytes };
    const end = Math.min(to === "" || to === undefined ? bytes.length : Number(to) + 1, bytes.length);
    if (Number(from) >= bytes.length) return { status: 416, headers: { "Content-Range": `bytes */${bytes.length}` } };
    return { status: 206, headers: { ...headers, "Content-Range": `bytes ${from}-${end - 1}/${bytes.length}` }, body: bytes.subarray(Number(from), end) };
  }

  /** @param {Map<string, Buffer>} content @param {string} folder */
  function entries(content, folder) {
    const prefix = folder && `${folder}/`;
    /** @type {Map<string, unknown>} */
    const found = new Map();
    for (const [path, bytes] of content) {
      if (!path.startsWith(prefix)) continue;
      const [name = "", ...rest] = path.slice(prefix.length).split("/");
      const entry = { type: "file", oid: gitHash(bytes), size: bytes.length, path, ...(isLarge(path, bytes.length) && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }) };
      found.set(name, rest.length > 0 ? { type: "directory", oid: gitHash(Buffer.from(name)), size: 0, path: prefix + name } : entry);
    }
    return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
  }

  /** @param {URL} url @param {import("node:http").IncomingMessage} request @param {Buffer} body @returns {Answer} */
  function answerHub(url, request, body) {
    const reader = account(request);
    if (reader === "unknown") return { status: 401, message: "Invalid credentials in Authorization header", json: { error: "Invalid credentials in Authorization header" } };
    const path = url.pathname.slice(1);
    if (path === "api/models") return search(url, reader);
    if (path === "api/repos/create") return create(JSON.parse(String(body)), reader);
    const [, api, name = ""] = /^(api\/models\/)?([^/]+\/[^/]+?)(?:\.git)?(?:\/|$)/.exec(path) ?? [];
    const target = moved[name];
    if (target !== undefined) return { status: 307, headers: { Location: url.pathname.replace(name, target) + url.search } };
    const repository = visible(name, reader);
    if (!("commits" in repository)) return repository;
    const rest = path.slice((api ?? "").length + name.length).split("/").slice(1);
    const [verb = ""] = rest;
    if (["preupload", "commit"].includes(verb) || rest.at(-1) === "batch" || verb === "verify") {
      if (!reader?.write) return refusal(403, "", "You don't have the rights to push");
      return answerUpload(repository, verb, decodeURIComponent(rest[1] ?? ""), JSON.parse(`[${String(body).trim().split("\n").join(",")}]`));
    }
    const revision = decodeURIComponent(rest[1] ?? "");
    const commit = commitOf(repository, revision);
    const content = repository.commits.get(commit ?? "");
    if (!content || commit === undefined) return refusal(404, "RevisionNotFound", `Invalid rev id: ${revision}`);
    const within = rest.slice(2).map(decodeURIComponent).join("/");
    if (api && verb === "revision") return { json: { _id: "0", id: repository.name, sha: commit } };
    if (api && verb === "tree") return listing(url, entries(content, within), within);
    if (!api && verb === "resolve") return resolve(request, repository, content, commit, within, reader);
    return { status: 404, json: { error: "Sorry, we can't find the page you are looking for." } };
  }

  /** @param {URL} url @param {unknown[]} all @param {string} folder @returns {Answer} */
  function listing(url, all, folder) {
    if (all.length === 0 && folder) return refusal(404, "EntryNotFound", `${folder} does not exist`);
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const next = new URL(url);
    next.searchParams.set("cursor", String(from + pageSize));
    return { json: all.slice(from, from + pageSize), headers: from + pageSize < all.length ? { Link: `<${next}>; rel="next"` } : {} };
  }

  /** @param {import("node:http").IncomingMessage} request @param {Repository} repository @param {Map<string, Buffer>} content @param {string} commit @param {string} path @param {Account | undefined} reader @returns {Answer} */
  function resolve(request, { name, gated }, content, commit, path, reader) {
    if (gated && !reader?.accepted?.includes(name)) {
      const message = `Access to model ${name} is restricted. You must have access to it and be authenticated to access it.`;
      return refusal(reader ? 403 : 401, "GatedRepo", message);
    }
    const bytes = content.get(path);
    if (!bytes) return refusal(404, "EntryNotFound", "Entry not found");
    const headers = { "X-Repo-Commit": commit, ETag: `"${gitHash(bytes)}"`, "Accept-Ranges": "bytes" };
    if (!isLarge(path, bytes.length)) return ranged(bytes, request, headers);
    const hash = sha256(bytes);
    objects.set(hash, bytes);
    return { status: 302, headers: { ...headers, "X-Linked-ETag": `"${hash}"`, Location: signed(`objects/${hash}`) }, body: "Found. Redirecting" };
  }

  /** @param {URL} url @param {Account | undefined} reader @returns {Answer} */
  function search({ searchParams }, reader) {
    const words = (searchParams.get("search") ?? "").toLowerCase();
    const filters = searchParams.getAll("filter");
    const found = [...repositories.values()].filter((repository) => "commits" in visible(repository.name, reader) && repository.name.toLowerCase().includes(words) && filters.every((tag) => repository.tags.includes(tag)));
    const limit = Number(searchParams.get("limit") ?? 1000);
    return { json: found.slice(0, limit).map(({ name, gated, private: hidden, tags }, number) => ({ _id: String(number), id: name, modelId: name, gated: gated ? "manual" : false, private: hidden, downloads: 10 - number, likes: number, tags, pipeline_tag: "text-generation" })) };
  }

  /** @param {{ name: string, organization: string, private?: boolean, visibility?: string }} wanted @param {Account | undefined} writer @returns {Answer} */
  function create({ name, organization, private: hidden = false, visibility }, writer) {
    if (!writer?.write) return refusal(writer ? 403 : 401, "", "You don't have the rights to create a model under this namespace");
    const full = `${organization}/${name}`;
    if (repositories.has(full)) return { status: 409, json: { error: "You already created this model repo", url: `${hub.url}/${full}` } };
    push(full, { ".gitattributes": "*.safetensors filter=lfs" }, { private: hidden || visibility === "private" });
    return { json: { url: `${hub.url}/${full}`, name: full, id: "1" } };
  }

  /** @param {Repository} repository @param {string} verb @param {string} branch @param {any[]} said @returns {Answer} */
  function answerUpload(repository, verb, branch, said) {
    const [first] = said;
    if (verb === "preupload") return { json: { files: first.files.map((/** @type {any} */ { path, size }) => ({ path, uploadMode: isLarge(path, size) ? "lfs" : "regular", shouldIgnore: false })) } };
    if (verb === "verify") return objects.get(first.oid)?.length === first.size ? { json: {} } : { status: 404, json: { message: "the object is not there" } };
    if (verb !== "commit") return { headers: { "Content-Type": "application/vnd.git-lfs+json" }, json: { transfer: "basic", objects: first.objects.map((/** @type {any} */ one) => uploadOf(repository, one)) } };
    const head = repository.refs[branch];
    if (head === undefined) return refusal(404, "RevisionNotFound", `Invalid rev id: ${branch}`);
    const [{ value: header }, ...operations] = said;
    if (header.parentCommit !== undefined && header.parentCommit !== head) return { status: 412, json: { error: "A commit has happened since. Please refresh and try again." } };
    const content = new Map(repository.commits.get(head));
    for (const { key, value } of operations) {
      if (key === "file") content.set(value.path, Buffer.from(value.content, value.encoding));
      else if (key === "deletedFile") content.delete(value.path);
      else {
        const object = objects.get(value.oid);
        if (object?.length !== value.size || !object) return refusal(400, "", `LFS pointer pointed to a file that does not exist: ${value.path}`);
        content.set(value.path, object);
      }
    }
    const commit = push(repository.name, Object.fromEntries(content), { branch });
    return { json: { success: true, commitOid: commit, commitUrl: `${hub.url}/${repository.name}/commit/${commit}`, hookOutput: "" } };
  }

  /** What is to be done to upload an object. @param {Repository} repository @param {{ oid: string, size: number }} one */
  function uploadOf({ name }, { oid, size }) {
    if (objects.has(oid)) return { oid, size };
    const verify = { href: `${hub.url}/api/models/${name}/verify` };
    if (size <= partSize) return { oid, size, actions: { upload: { href: signed(`objects/${oid}`) }, verify } };
    uploads.set(oid, new Map());
    const parts = Array.from({ length: Math.ceil(size / partSize) }, (_, at) => [String(at + 1).padStart(5, "0"), signed(`parts/${oid}/${at + 1}`)]);
    return { oid, size, actions: { upload: { href: signed(`complete/${oid}`), header: { chunk_size: String(partSize), ...Object.fromEntries(parts) } }, verify } };
  }

  /** @param {URL} url @param {import("node:http").IncomingMessage} request @param {Buffer} body @returns {Answer} */
  function answerStorage(url, request, body) {
    // As S3: a request has a signature or a token, not both.
    if (request.headers.authorization !== undefined) return { status: 400, body: "Only one auth mechanism allowed" };
    const signature = url.searchParams.get("X-Amz-Signature") ?? "";
    if (!signatures.delete(signature)) return { status: 403, body: "Request has expired" };
    const [kind, oid = "", part] = url.pathname.slice(1).split("/");
    const parts = uploads.get(oid);
    if (request.method === "GET") {
      const bytes = objects.get(oid);
      return bytes ? ranged(bytes, request, { ETag: `"${oid}"`, "Accept-Ranges": "bytes" }) : { status: 404 };
    }
    if (kind === "objects" && request.method === "PUT") {
      if (request.headers["content-length"] === undefined) return { status: 411, body: "MissingContentLength" };
      if (sha256(body) !== oid) return { status: 400, body: "BadDigest" };
      objects.set(oid, body);
      return {};
    }
    if (kind === "parts" && request.method === "PUT" && parts) {
      parts.set(Number(part), body);
      return { headers: { ETag: `"${sha256(body)}"` } };
    }
    if (kind !== "complete" || request.method !== "POST" || !parts) return { status: 405 };
    const done = JSON.parse(String(body)).parts;
    const whole = Buffer.concat(done.map((/** @type {any} */ { partNumber, etag }) => (etag === `"${sha256(parts.get(partNumber) ?? Buffer.of())}"` ? parts.get(partNumber) : Buffer.of())));
    if (sha256(whole) !== oid) return { status: 400, body: "InvalidPart" };
    objects.set(oid, whole);
    return {};
  }

  /** @param {"hub" | "storage"} host @param {(url: URL, request: import("node:http").IncomingMessage, body: Buffer) => Answer} answer */
  async function listen(host, answer) {
    const server = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const url = new URL(request.url ?? "/", `http://${request.headers.host}`);
      if (request.method === "OPTIONS") return void response.writeHead(204, CORS).end();
      asked.push({ host, method: request.method ?? "", path: url.pathname, authorization: request.headers.authorization });
      onAsk(`${host}${url.pathname}`);
      const trouble = troubles.find((one) => one.host === host && one.times > 0 && one.match.test(url.pathname));
      if (trouble) trouble.times--;
      const { status = 200, headers = {}, body, json, code, message } = trouble?.answer ?? answer(url, request, Buffer.concat(chunks));
      const bytes = json === undefined ? body : JSON.stringify(json);
      response.writeHead(status, { ...CORS, ...(json !== undefined && { "Content-Type": "application/json" }), ...(code && { "X-Error-Code": code }), ...(message && { "X-Error-Message": message }), ...headers });
      response.end(bytes);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    return { url: `http://127.0.0.1:${port}`, server };
  }

  const hub = await listen("hub", answerHub);
  const storage = await listen("storage", answerStorage);
  return {
    url: hub.url, storage: storage.url, push, files, asked, repositories, moved, accounts, objects,
    /** The next `times` requests to `host` whose path matches get `answer`. @param {"hub" | "storage"} host @param {RegExp} match @param {Answer} answer @param {number} [times] */
    trouble: (host, match, answer, times = 1) => void troubles.push({ host, match, times, answer }),
    /** Called before each answer. @param {(path: string) => void} listener */
    watch: (listener) => void (onAsk = listener),
    close: async () => {
      await Promise.all([hub, storage].map(({ server }) => new Promise((resolve) => {
        server.close(() => resolve(undefined));
        server.closeAllConnections();
      })));
    },
  };
}
