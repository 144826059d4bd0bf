import { LorafoldError } from "../errors.js";
import type { Input, Listing, Role } from "./input.js";
import { probe } from "./probe.js";
import { inFlight, MOST_IN_FLIGHT, readAll } from "./request.js";

/** Where `hf://` points. A property, so that a mirror can be put in its place. */
export const hub = { endpoint: "https://huggingface.co" };

/** What the hub says of a file or a folder. */
interface Entry {
  type: string;
  path: string;
  size: number;
  oid?: string;
  /** The content's own hash, where the other is that of a pointer to it. */
  lfs?: { oid?: string };
}

/** What describes a model is smaller. A larger file is most often its weights in another format: it is not asked for before it is wanted. */
const MOST_BESIDE = 64 << 20;

/** `hf://org/name@revision`, taken apart; revisions may have slashes (`refs/pr/1`). */
const REPOSITORY = /^hf:\/\/([^/@]+\/[^/@]+)(?:@(.+?))?\/?$/;

/** List a repository of the hub: every file at its top level. */
export async function listHub(url: string, role: Role, init: RequestInit = {}): Promise<Listing> {
  const [, repository, revision = "main"] = REPOSITORY.exec(url) ?? [];
  if (!repository) throw new LorafoldError("bad-option", `${url}: not of the form hf://org/name@revision`);
  const tree = `${hub.endpoint}/api/models/${repository}/tree/${encodeURIComponent(revision)}`;
  const entries = await readAll(tree, (response) => response.json() as Promise<Entry[]>, init);
  // Of an adapter only what makes it one is fetched; what of a base is copied is for the crate to say.
  const wanted = (path: string) => role === "base" || path === "adapter_config.json" || path.endsWith(".safetensors");
  const listed = entries.filter(({ type, path }) => type === "file" && wanted(path));
  const file = async ({ path, size, lfs, oid = "" }: Entry): Promise<Input | undefined> => {
    const url = `${hub.endpoint}/${repository}/resolve/${encodeURIComponent(revision)}/${encodeURIComponent(path)}`;
    const found = size > MOST_BESIDE && !path.endsWith(".safetensors") ? { name: path, url, init, size } : await probe(url, path, role, init);
    const content = lfs?.oid ?? oid;
    return found && { ...found, ...(content && { oid: content }) };
  };
  const files = (await inFlight(listed, MOST_IN_FLIGHT, file)).filter((input) => input !== undefined);
  const folders = entries.filter((entry) => entry.type === "directory").map((entry) => entry.path);
  return { name: repository, files, folders };
}
