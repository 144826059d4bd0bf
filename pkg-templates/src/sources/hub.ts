import { fileError, optionError, wrongValue } from "../errors.js";
import { checkOptions, HUB_OPTIONS } from "../options.js";
import type { HubOptions } from "../types.js";
import type { Input, Listing, Role } from "./input.js";
import type { ListingLimits } from "./limits.js";
import type { RequestOptions } from "./network.js";
import { probe } from "./probe.js";
import { parseRepository, type Repository } from "./repository.js";
import { readAll, readBody, refused, request } from "./request.js";
import { holdsModel, mayBeWeights } from "./weights.js";

/** Where the hub is, and who asks. */
export interface HubAccess {
  /** Without a slash at its end. */
  endpoint: string;
  /** What is sent to the hub, and to no other host. */
  token?: HubOptions["token"] | (() => Promise<string | undefined>);
}

/** A file or a folder in the listing of the hub's API. */
interface Entry {
  type: string;
  /** From the repository's root. */
  path: string;
  size: number;
  oid?: string;
  /** Of files in Git LFS: `oid` above is the hash of the pointer, this one, a sha256, of the content. */
  lfs?: { oid?: string };
}

/** Configurations and tokenizers are smaller. A larger file is most often the weights in another format, so it is not requested before it is read. */
const MOST_BESIDE = 64 << 20;

/** The most pages of a listing that are read. The hub's have a thousand entries each. */
const MOST_PAGES = 100;

const COMMIT = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/** List a folder of a repository of the hub, at one commit: what a branch is moved to later does not matter. */
export async function listHub(text: string, role: Role, init: RequestOptions, limits: ListingLimits, access: HubAccess): Promise<Listing> {
  const repository = parseRepository(text, access.endpoint);
  if (!repository) throw fileError("bad-option", text, "not an address of the hub", { expected: "hf://org/name@revision" });
  const { turns } = limits;
  const options = await asHub(repository.name, init, access);
  const { name, commit } = await turns.run(() => pinned(repository, options, access.endpoint));
  const revision = commit ?? repository.revision ?? "main";
  const { folder } = repository;
  const entries = await turns.run(() => tree(`${access.endpoint}/api/models/${name}/tree/${encodeURIComponent(revision)}${folder && `/${escaped(folder)}`}`, options));
  const isThere = (entry: Entry) => entry.type === "file";
  const named = (path: string) => (folder ? path.slice(folder.length + 1) : path);
  // The crate decides which files are copied. Of an adapter, only the configuration and the weights are asked for before something is read of them.
  const names = entries.filter(isThere).map(({ path }) => named(path));
  const only = onlyFile(repository, names);
  // A whole model in an adapter's place is read as a base is.
  const tuned = role === "adapter" && only === undefined && holdsModel(names);
  const as = tuned ? "base" : role;
  const isWeights = only === undefined ? mayBeWeights(names, as) : (file: string) => file === only;
  const isRead = (file: string) => as === "base" || file === "adapter_config.json" || isWeights(file);
  const wanted = (file: string) => only === undefined || file === only || (role === "adapter" && file === "adapter_config.json");
  const file = async ({ path, size, lfs, oid = "" }: Entry): Promise<Input> => {
    const within = named(path);
    const url = `${access.endpoint}/${name}/resolve/${encodeURIComponent(revision)}/${escaped(path)}`;
    const found = !isRead(within) || (size > MOST_BESIDE && !isWeights(within)) ? { name: within, url, init: options, size } : await probe(url, within, as, options, limits);
    if (!found) throw fileError("fetch-failed", url, "the hub lists this file and does not have it", { kind: "not-found" });
    const content = lfs?.oid ?? oid;
    return { ...found, ...(content && { oid: content }), ...(SHA256.test(lfs?.oid ?? "") && { digest: lfs!.oid! }) };
  };
  const files = await turns.all(entries.filter((entry) => isThere(entry) && wanted(named(entry.path))), file);
  const folders = only === undefined ? entries.filter((entry) => entry.type === "directory").map((entry) => named(entry.path)) : [];
  const place = folder ? `${name}/${folder}` : name;
  return { name: place, files, folders, ...(commit !== undefined && { origin: `hf://${folder ? `${name}/${escaped(folder)}` : name}@${commit}` }) };
}

/** The options of every request to the hub: who asks. Headers that a caller gives count more. */
export async function asHub(repository: string, init: RequestOptions, { token: given }: HubAccess): Promise<RequestOptions> {
  const token = typeof given === "function" ? await given() : given;
  const own = (init.headers ?? {}) as Record<string, string>;
  const hasOwn = Object.keys(own).some((name) => name.toLowerCase() === "authorization");
  return { ...init, hub: repository, headers: { ...(typeof token === "string" && !hasOwn && { authorization: `Bearer ${checked(token)}` }), ...own } };
}

/** A token that can be sent. What is wrong with another is said without it. */
function checked(token: string): string {
  if (!/^[\x21-\x7e]+$/.test(token)) throw optionError("hub.token", "the token has characters that no token can have", { fix: "copy it again, whole and without spaces" });
  return token;
}

/** @throws {LorafoldError} `bad-option` where the options say no hub. */
export function checkHub(hub: HubOptions | undefined): void {
  if (hub === undefined) return;
  if (typeof hub !== "object" || hub === null) throw wrongValue("hub", hub, "an object with endpoint or token");
  checkOptions("hub", hub, HUB_OPTIONS);
  const { endpoint, token } = hub;
  if (token !== undefined && token !== false && typeof token !== "string") throw optionError("hub.token", "the token is neither text nor false");
  if (typeof token === "string") checked(token);
  if (endpoint !== undefined && !(typeof endpoint === "string" && /^https?:\/\/[^/?#@\s]+(\/[^?#\s]*)?$/i.test(endpoint))) throw optionError("hub.endpoint", "this is not the address of a hub", { expected: "https://…" });
}

/** The commit that a revision is now, and the name that the repository has by now; no commit where a mirror tells none. */
async function pinned({ name, revision = "main" }: Repository, options: RequestOptions, endpoint: string): Promise<{ name: string; commit?: string }> {
  if (COMMIT.test(revision)) return { name, commit: revision };
  const url = `${endpoint}/api/models/${name}/revision/${encodeURIComponent(revision)}?expand=sha`;
  const { sha, id } = await readAll(url, (response) => response.json() as Promise<{ sha?: unknown; id?: unknown }>, options);
  const known = typeof id === "string" && /^[\w.-]+\/[\w.-]+$/.test(id) ? id : name;
  return { name: known, ...(typeof sha === "string" && COMMIT.test(sha) && { commit: sha }) };
}

/** All entries of a folder: the hub gives them in pages. */
async function tree(url: string, options: RequestOptions): Promise<Entry[]> {
  const entries: Entry[] = [];
  let query = "";
  for (let page = 0; page < MOST_PAGES; page++) {
    const response = await request(url + query, options);
    if (!response.ok) throw await refused(url, response, options);
    const next = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(response.headers.get("link") ?? "")?.[1];
    const listed = await readBody(url, response, (answer) => answer.json() as Promise<unknown>, options);
    if (!Array.isArray(listed)) throw fileError("fetch-failed", url, "the hub's listing is not a list");
    entries.push(...(listed as Entry[]).filter(({ type, path, size }) => typeof type === "string" && typeof path === "string" && (type !== "file" || Number.isSafeInteger(size))));
    if (next === undefined) return entries;
    // Only where it goes on: the token stays with this server, whatever the link says.
    query = new URL(next, url).search;
  }
  throw fileError("limit-exceeded", url, `its listing has more than ${MOST_PAGES} pages`);
}

/** Names of files that belong to a whole model or adapter, whatever else is in their folder. */
const OF_MODEL = /^(model|pytorch_model|adapter_model|diffusion_pytorch_model)\.(safetensors|bin)$|-\d{5}-of-\d{5}\.|\.json$/i;

/** The one file that is meant where the address is that of a file, and the folder is not a model by itself. */
function onlyFile({ name, file }: Repository, names: readonly string[]): string | undefined {
  if (file === undefined) return undefined;
  if (!names.includes(file)) throw fileError("fetch-failed", file, `${name} has no such file in this revision`, { kind: "not-found", fix: "check the path and the revision" });
  return OF_MODEL.test(file) || !/\.(safetensors|bin)$/.test(file) ? undefined : file;
}

const escaped = (path: string) => path.split("/").map(encodeURIComponent).join("/");
