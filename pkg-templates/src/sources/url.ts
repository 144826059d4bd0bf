import { fileError } from "../errors.js";
import { address } from "./address.js";
import { MAX_REQUESTS, mapConcurrently } from "./concurrency.js";
import { listHub } from "./hub.js";
import type { Input, Listing, Role } from "./input.js";
import type { RequestOptions } from "./network.js";
import { probe } from "./probe.js";
import { readAll } from "./request.js";
import { withoutEnding } from "./weights.js";

/** File names to try in a folder that cannot be listed: those that model hubs use. */
const SIDE_FILES = [
  "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
  "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "chat_template.jinja", "chat_template.json",
  "preprocessor_config.json", "processor_config.json", "README.md", "LICENSE",
];

/** List a URL: a `.safetensors` or `.bin` file, a folder, or a repository of a hub. */
export async function listUrl(url: string, role: Role, init: RequestOptions = {}): Promise<Listing> {
  if (url.startsWith("hf://")) return listHub(url, role, init);
  const base = typeof location === "undefined" ? undefined : location.href;
  if (!URL.canParse(url, base)) throw fileError("bad-option", address(url), "not a URL that can be read here");
  const parsed = new URL(url, base);
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:" && parsed.protocol !== "blob:") {
    throw fileError("bad-option", address(url), "not a URL that can be read here");
  }
  if (/\.(safetensors|bin)$/.test(parsed.pathname) || parsed.protocol === "blob:") return listFile(parsed, role, init);
  if (!parsed.pathname.endsWith("/")) parsed.pathname += "/";
  return listFolder(parsed, role, init);
}

/** A file of a folder. Its name is escaped to be one part of the path. The query of the folder's URL (a signature) is kept. */
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
    throw fileError("bad-option", path, `${part} is no part of a URL`, { found: part });
  }
}

async function listFile(url: URL, role: Role, init: RequestOptions = {}): Promise<Listing> {
  const name = url.protocol === "blob:" ? "" : lastPart(url.pathname);
  const input = await probe(url.href, name || (role === "base" ? "model.safetensors" : "adapter_model.safetensors"), role, init);
  if (!input) throw fileError("fetch-failed", address(url.href), "the server answered 404", { kind: "not-found", found: "404" });
  const files = [input];
  if (role === "adapter" && url.protocol !== "blob:") {
    const config = await probe(fileIn(url, "adapter_config.json"), "adapter_config.json", role, init);
    if (config) files.push(config);
  }
  return { name: withoutEnding(name) || role, files };
}

async function listFolder(url: URL, role: Role, init: RequestOptions = {}): Promise<Listing> {
  const find = async (names: string[]) => present(await mapConcurrently(names, MAX_REQUESTS, (name) => probe(fileIn(url, name), name, role, init)));
  const name = lastPart(url.pathname) || role;
  if (role === "adapter") {
    const files = await find(["adapter_config.json", "adapter_model.safetensors"]);
    const safetensors = files.some((file) => file.name.endsWith(".safetensors"));
    return { name, files: safetensors ? files : [...files, ...(await find(["adapter_model.bin"]))] };
  }
  const files = await find(["model.safetensors.index.json", "model.safetensors"]);
  if (files.length === 0) files.push(...(await find(["pytorch_model.bin.index.json", "pytorch_model.bin"])));
  const index = files.find((file) => file.name.endsWith(".index.json"));
  if (index) {
    const shards = await shardNames(index, init);
    files.push(...(await find(shards.filter((shard) => !files.some((file) => file.name === shard)))));
  }
  files.push(...(await find(SIDE_FILES)));
  if (files.length === 0) throw fileError("fetch-failed", address(url.href), "there is no model.safetensors, no pytorch_model.bin and no index", { kind: "no-weights", expected: "model.safetensors" });
  return { name, files };
}

function present(files: (Input | undefined)[]): Input[] {
  return files.filter((file) => file !== undefined);
}

/** The shards that an index names. The crate checks the index itself. */
async function shardNames(index: Input, init: RequestOptions): Promise<string[]> {
  const text = index.blob ? await index.blob.text() : await readAll(index.url!, (response) => response.text(), init);
  try {
    const { weight_map: map } = JSON.parse(text) as { weight_map?: Record<string, string> };
    return [...new Set(Object.values(map ?? {}))].filter((shard) => !shard.includes("/"));
  } catch {
    return [];
  }
}
