import { fileError, part } from "../errors.js";
import { address } from "./address.js";
import type { HubAccess } from "./hub.js";
import type { Input, Listing, Role } from "./input.js";
import type { ListingLimits } from "./limits.js";
import type { RequestOptions } from "./network.js";
import { isOnHub } from "./on-hub.js";
import { probe } from "./probe.js";
import { RemoteFile } from "./remote.js";
import { standsForFolder, withoutEnding } from "./weights.js";

/** File names to try in a folder that cannot be listed: those that model hubs use. */
const SIDE_FILES = [
  "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
  "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "chat_template.jinja", "chat_template.json",
  "preprocessor_config.json", "processor_config.json", "README.md", "LICENSE",
];

/** List a URL: a `.safetensors` or `.bin` file, a folder, or a repository of the hub. */
export async function listUrl(url: string, role: Role, init: RequestOptions, limits: ListingLimits, hub: HubAccess): Promise<Listing> {
  if (isOnHub(url, hub.endpoint)) return (await part(import("./hub.js"))).listHub(url, role, init, limits, hub);
  const base = typeof location === "undefined" ? undefined : location.href;
  if (!URL.canParse(url, base)) throw fileError("bad-option", address(url), "not a URL that can be read here");
  const parsed = new URL(url, base);
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:" && parsed.protocol !== "blob:") {
    throw fileError("bad-option", address(url), "not a URL that can be read here");
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw fileError("bad-option", address(url), "requests cannot carry a user name or password of their address", { fix: "give the header authorization" });
  }
  if (/\.(safetensors|bin)$/.test(parsed.pathname) || parsed.protocol === "blob:") return listFile(parsed, role, init, limits);
  const [file = ""] = /[^/]*$/.exec(parsed.pathname) ?? [];
  if (standsForFolder(file)) parsed.pathname = parsed.pathname.slice(0, -file.length);
  if (!parsed.pathname.endsWith("/")) parsed.pathname += "/";
  return listFolder(parsed, role, init, limits);
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
    throw fileError("bad-option", path, `${part} is not part of a URL`, { found: part });
  }
}

async function listFile(url: URL, role: Role, init: RequestOptions, limits: ListingLimits): Promise<Listing> {
  const name = url.protocol === "blob:" ? "" : lastPart(url.pathname);
  const find = (url: string, name: string) => limits.turns.run(() => probe(url, name, role, init, limits));
  const weights = find(url.href, name || (role === "base" ? "model.safetensors" : "adapter_model.safetensors"));
  const beside = role === "adapter" && url.protocol !== "blob:" ? find(fileIn(url, "adapter_config.json"), "adapter_config.json") : undefined;
  const [input, config] = await Promise.all([weights, beside]);
  if (!input) throw fileError("fetch-failed", address(url.href), "the server answered 404", { kind: "not-found", found: "404" });
  return { name: withoutEnding(name) || role, files: config ? [input, config] : [input] };
}

async function listFolder(url: URL, role: Role, init: RequestOptions, limits: ListingLimits): Promise<Listing> {
  const name = lastPart(url.pathname) || role;
  if (role === "adapter") {
    const find = (names: readonly string[]) => found(url, names, role, init, limits);
    const files = await find(["adapter_config.json", "adapter_model.safetensors"]);
    const safetensors = files.some((file) => file.name.endsWith(".safetensors"));
    if (!safetensors) files.push(...(await find(["adapter_model.bin"])));
    if (files.length > 0) return { name, files };
    // A whole fine-tuned model.
    return listModel(url, name, ["config.json"], init, limits);
  }
  const listing = await listModel(url, name, SIDE_FILES, init, limits);
  if (listing.files.length === 0) throw fileError("fetch-failed", address(url.href), "there is no model.safetensors, no pytorch_model.bin and no index", { kind: "no-weights", expected: "model.safetensors" });
  return listing;
}

/** The weights of a model in a folder, and what stands beside them. */
async function listModel(url: URL, name: string, others: readonly string[], init: RequestOptions, limits: ListingLimits): Promise<Listing> {
  const find = (names: readonly string[]) => found(url, names, "base", init, limits);
  let weights = await find(["model.safetensors.index.json", "model.safetensors"]);
  if (weights.length === 0) weights = await find(["pytorch_model.bin.index.json", "pytorch_model.bin"]);
  const index = weights.find((file) => file.name.endsWith(".index.json"));
  const shards = index ? await limits.turns.run(() => shardNames(index)) : [];
  const listed = (shard: string) => weights.some((file) => file.name === shard);
  const [rest, beside] = await Promise.all([find(shards.filter((shard) => !listed(shard))), find(others)]);
  return { name, files: [...weights, ...rest, ...beside] };
}

/** Those of the files that a folder has. */
async function found(url: URL, names: readonly string[], role: Role, init: RequestOptions, limits: ListingLimits): Promise<Input[]> {
  const files = await limits.turns.all(names, (name) => probe(fileIn(url, name), name, role, init, limits));
  return files.filter((file) => file !== undefined);
}

/** The largest index, in bytes, that the crate reads. */
const INDEX_BYTES = 100_000_000;

/** The shards that an index names. The crate checks the index itself, and need not ask for it again. */
async function shardNames(index: Input): Promise<string[]> {
  if (index.size! > INDEX_BYTES) return [];
  const bytes = index.blob ? new Uint8Array(await index.blob.arrayBuffer()) : await new RemoteFile({ ...index, url: index.url! }).read(0, index.size!);
  if (!index.blob) index.head = bytes;
  try {
    const { weight_map: map } = JSON.parse(new TextDecoder().decode(bytes)) as { weight_map?: Record<string, string> };
    return [...new Set(Object.values(map ?? {}))].filter((shard) => !shard.includes("/"));
  } catch {
    return [];
  }
}
