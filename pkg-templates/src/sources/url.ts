import { LorafoldError } from "../errors.js";
import { listHub } from "./hub.js";
import type { Input, Listing, Role } from "./listing.js";

/** Files of a model folder that cannot be listed, in the names that model hubs use. */
const SIDE_FILES = [
  "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
  "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "chat_template.jinja", "chat_template.json",
  "preprocessor_config.json", "processor_config.json", "README.md", "LICENSE",
];

/** List a URL: a `.safetensors` file, a folder, or a repository of a hub. */
export async function listUrl(url: string, role: Role, signal?: AbortSignal): Promise<Listing> {
  if (url.startsWith("hf://")) return listHub(url, role, signal);
  const base = typeof location === "undefined" ? undefined : location.href;
  if (!URL.canParse(url, base)) throw new LorafoldError("bad-option", `${url}: not a URL that can be read here`);
  const parsed = new URL(url, base);
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:" && parsed.protocol !== "blob:") {
    throw new LorafoldError("bad-option", `${url}: not a URL that can be read here`);
  }
  if (parsed.pathname.endsWith(".safetensors") || parsed.protocol === "blob:") return listFile(parsed, role, signal);
  if (!parsed.pathname.endsWith("/")) parsed.pathname += "/";
  return listFolder(parsed, role, signal);
}

function lastPart(path: string): string {
  return decodeURIComponent(path.split("/").filter(Boolean).at(-1) ?? "");
}

async function listFile(url: URL, role: Role, signal?: AbortSignal): Promise<Listing> {
  const name = url.protocol === "blob:" ? "" : lastPart(url.pathname);
  const input = await probe(url.href, name || (role === "base" ? "model.safetensors" : "adapter_model.safetensors"), role, signal);
  if (!input) throw new LorafoldError("fetch-failed", `${url.href}: the server answered 404`);
  const files = [input];
  if (role === "adapter" && url.protocol !== "blob:") {
    const config = await probe(new URL("adapter_config.json", url).href, "adapter_config.json", role, signal);
    if (config) files.push(config);
  }
  return { name: name.replace(/\.safetensors$/, "") || role, files };
}

async function listFolder(url: URL, role: Role, signal?: AbortSignal): Promise<Listing> {
  const find = (name: string) => probe(new URL(name, url).href, name, role, signal);
  const name = lastPart(url.pathname) || role;
  if (role === "adapter") {
    const files = await Promise.all(["adapter_config.json", "adapter_model.safetensors"].map(find));
    return { name, files: present(files) };
  }
  const files = present(await Promise.all(["model.safetensors.index.json", "model.safetensors"].map(find)));
  const index = files.find((file) => file.name.endsWith(".index.json"));
  if (index) {
    const shards = await shardNames(index, signal);
    files.push(...present(await Promise.all(shards.filter((shard) => shard !== "model.safetensors").map(find))));
  }
  files.push(...present(await Promise.all(SIDE_FILES.map(find))));
  if (files.length === 0) throw new LorafoldError("fetch-failed", `${url.href}: no model.safetensors and no index there`);
  return { name, files };
}

function present(files: (Input | undefined)[]): Input[] {
  return files.filter((file) => file !== undefined);
}

/** The shards an index names; whether the index is right is for the crate to say. */
async function shardNames(index: Input, signal?: AbortSignal): Promise<string[]> {
  const text = index.blob ? await index.blob.text() : await readAll(index.url!, (response) => response.text(), signal);
  try {
    const { weight_map: map } = JSON.parse(text) as { weight_map?: Record<string, string> };
    return [...new Set(Object.values(map ?? {}))].filter((shard) => !shard.includes("/"));
  } catch {
    return [];
  }
}

/**
 * Find out a file's size and whether its server has ranges, by asking for its first byte: `HEAD` answers of compressing
 * servers lack the length. `undefined` when there is no such file.
 */
export async function probe(url: string, name: string, role: Role, signal?: AbortSignal, init: RequestInit = {}): Promise<Input | undefined> {
  const failed = (reason: string) => new LorafoldError("fetch-failed", `${url}: ${reason}`);
  const request = { ...init, signal: signal ?? null };
  const headers = { ...(init.headers as Record<string, string> | undefined), range: "bytes=0-0" };
  const response = await fetch(url, { ...request, headers }).catch((error: unknown) => {
    throw fetchFailed(url, error, signal);
  });
  const input = { name, url, init };
  if (response.status === 206) {
    await response.body?.cancel();
    const total = Number(/\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1] ?? Number.NaN);
    return { ...input, ranges: true, size: Number.isNaN(total) ? await sizeByHead(url, request, failed) : total };
  }
  if (response.status === 404 || response.status === 410) {
    await response.body?.cancel();
    return undefined;
  }
  if (response.status === 416) return { name, size: 0, blob: new Blob() };
  if (!response.ok) throw failed(`the server answered ${response.status} ${response.statusText}`);
  // No ranges. Weights of a base are read in one pass, however long; what needs random access is kept.
  if (role === "base" && name.endsWith(".safetensors")) {
    await response.body?.cancel();
    const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
    return { ...input, ranges: false, ...(length !== null && { size: Number(length) }) };
  }
  const blob = await response.blob().catch((error: unknown) => {
    throw fetchFailed(url, error, signal);
  });
  return { name, size: blob.size, blob };
}

/** What `fetch`, or reading its answer, threw. */
export function fetchFailed(url: string, error: unknown, signal?: AbortSignal): LorafoldError {
  if (signal?.aborted) return new LorafoldError("aborted", "aborted", { detail: signal.reason });
  const { message, cause } = error as { message?: string; cause?: { message?: string } };
  const reason = [message ?? String(error), cause?.message].filter(Boolean).join(": ");
  return new LorafoldError("fetch-failed", `${url}: ${reason}`, { detail: error });
}

/** Fetch a small file, or something that a server says, as a whole. */
export async function readAll<T>(url: string, read: (response: Response) => Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    const response = await fetch(url, { signal: signal ?? null });
    if (!response.ok) throw new Error(`the server answered ${response.status} ${response.statusText}`);
    return await read(response);
  } catch (error) {
    throw fetchFailed(url, error, signal);
  }
}

async function sizeByHead(url: string, request: RequestInit, failed: (reason: string) => LorafoldError): Promise<number> {
  const response = await fetch(url, { ...request, method: "HEAD" }).catch((error: unknown) => {
    throw fetchFailed(url, error, request.signal ?? undefined);
  });
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  if (!response.ok || Number.isNaN(length)) throw failed("the server does not say how large the file is (Content-Range, Content-Length)");
  return length;
}
