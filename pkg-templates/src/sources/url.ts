import { LorafoldError } from "../errors.js";
import { address } from "./address.js";
import { listHub } from "./hub.js";
import type { Input, Listing, Role } from "./listing.js";
import { isRun, ranged } from "./range.js";
import { discard, fetchFailed, inFlight, MOST_IN_FLIGHT, readAll, readBody, refused, request } from "./request.js";
import { unlessSilentBody } from "./silence.js";
import { stateOf } from "./state.js";

/** Files of a model folder that cannot be listed, in the names that model hubs use. */
const SIDE_FILES = [
  "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
  "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "chat_template.jinja", "chat_template.json",
  "preprocessor_config.json", "processor_config.json", "README.md", "LICENSE",
];

/** List a URL: a `.safetensors` file, a folder, or a repository of a hub. */
export async function listUrl(url: string, role: Role, init: RequestInit = {}): Promise<Listing> {
  if (url.startsWith("hf://")) return listHub(url, role, init);
  const base = typeof location === "undefined" ? undefined : location.href;
  if (!URL.canParse(url, base)) throw new LorafoldError("bad-option", `${address(url)}: not a URL that can be read here`);
  const parsed = new URL(url, base);
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:" && parsed.protocol !== "blob:") {
    throw new LorafoldError("bad-option", `${address(url)}: not a URL that can be read here`);
  }
  if (parsed.pathname.endsWith(".safetensors") || parsed.protocol === "blob:") return listFile(parsed, role, init);
  if (!parsed.pathname.endsWith("/")) parsed.pathname += "/";
  return listFolder(parsed, role, init);
}

/** A file of a folder. Its name is one part of the path, whatever is in it; what the folder's URL asks for (a signature) every file needs. */
function fileIn(folder: URL, name: string): string {
  const url = new URL(encodeURIComponent(name), folder);
  url.search = folder.search;
  return url.href;
}

function lastPart(path: string): string {
  const part = path.split("/").filter(Boolean).at(-1) ?? "";
  try {
    return decodeURIComponent(part);
  } catch {
    throw new LorafoldError("bad-option", `${path}: ${part} is no part of a URL`);
  }
}

async function listFile(url: URL, role: Role, init: RequestInit = {}): Promise<Listing> {
  const name = url.protocol === "blob:" ? "" : lastPart(url.pathname);
  const input = await probe(url.href, name || (role === "base" ? "model.safetensors" : "adapter_model.safetensors"), role, init);
  if (!input) throw new LorafoldError("fetch-failed", `${address(url.href)}: the server answered 404`);
  const files = [input];
  if (role === "adapter" && url.protocol !== "blob:") {
    const config = await probe(fileIn(url, "adapter_config.json"), "adapter_config.json", role, init);
    if (config) files.push(config);
  }
  return { name: name.replace(/\.safetensors$/, "") || role, files };
}

async function listFolder(url: URL, role: Role, init: RequestInit = {}): Promise<Listing> {
  const find = async (names: string[]) => present(await inFlight(names, MOST_IN_FLIGHT, (name) => probe(fileIn(url, name), name, role, init)));
  const name = lastPart(url.pathname) || role;
  if (role === "adapter") {
    return { name, files: await find(["adapter_config.json", "adapter_model.safetensors"]) };
  }
  const files = await find(["model.safetensors.index.json", "model.safetensors"]);
  const index = files.find((file) => file.name.endsWith(".index.json"));
  if (index) {
    const shards = await shardNames(index, init);
    files.push(...(await find(shards.filter((shard) => shard !== "model.safetensors"))));
  }
  files.push(...(await find(SIDE_FILES)));
  if (files.length === 0) throw new LorafoldError("fetch-failed", `${address(url.href)}: no model.safetensors and no index there`);
  return { name, files };
}

function present(files: (Input | undefined)[]): Input[] {
  return files.filter((file) => file !== undefined);
}

/** The shards an index names; whether the index is right is for the crate to say. */
async function shardNames(index: Input, init: RequestInit): Promise<string[]> {
  const text = index.blob ? await index.blob.text() : await readAll(index.url!, (response) => response.text(), init);
  try {
    const { weight_map: map } = JSON.parse(text) as { weight_map?: Record<string, string> };
    return [...new Set(Object.values(map ?? {}))].filter((shard) => !shard.includes("/"));
  } catch {
    return [];
  }
}

/** What is asked for with the question whether a file is there: most headers are shorter, and many files. */
const HEAD_BYTES = 1 << 16;

/**
 * Find out a file's size and whether its server has ranges, by asking for its first bytes: `HEAD` answers of compressing
 * servers lack the length. `undefined` when there is no such file.
 */
export async function probe(url: string, name: string, role: Role, init: RequestInit = {}): Promise<Input | undefined> {
  let response = await request(url, ranged(init, 0, HEAD_BYTES - 1));
  if (response.status === 416) {
    discard(response);
    const [, length] = /^bytes \*\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    if (Number(length) === 0) return { name, size: 0, blob: new Blob() };
    // Some refuse an end that is beyond the file's.
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
async function readHead(url: string, response: Response, init: RequestInit): Promise<Uint8Array> {
  if (!response.body) return new Uint8Array(0);
  const reader = unlessSilentBody(response.body).getReader();
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
  // Not what was asked for: whoever reads the file will find that out.
  reader.cancel().catch(() => undefined);
  return new Uint8Array(0);
}

async function sizeByHead(url: string, init: RequestInit): Promise<number> {
  const response = await request(url, { ...init, method: "HEAD" });
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  if (response.ok && !Number.isNaN(length)) return length;
  throw new LorafoldError("fetch-failed", `${address(url)}: the server does not say how large the file is (Content-Range, Content-Length)`);
}
