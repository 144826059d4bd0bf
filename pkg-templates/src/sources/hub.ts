import { fileError } from "../errors.js";
import type { Input, Listing, Role } from "./input.js";
import type { ListingLimits } from "./limits.js";
import { NETWORK, type RequestOptions } from "./network.js";
import { probe } from "./probe.js";
import { readAll } from "./request.js";
import { mayBeWeights } from "./weights.js";

/** A file or a folder in the listing of the hub's API. */
interface Entry {
  type: string;
  path: string;
  size: number;
  oid?: string;
  /** Of files in Git LFS: `oid` above is the hash of the pointer, this one of the content. */
  lfs?: { oid?: string };
}

/** Configurations and tokenizers are smaller. A larger file is most often the weights in another format, so it is not requested before it is read. */
const MOST_BESIDE = 64 << 20;

/** `hf://org/name@revision`; revisions may have slashes (`refs/pr/1`). */
const REPOSITORY = /^hf:\/\/([^/@]+\/[^/@]+)(?:@(.+?))?\/?$/;

/** List a repository of the hub: every file at its top level. */
export async function listHub(url: string, role: Role, init: RequestOptions, limits: ListingLimits): Promise<Listing> {
  const [, repository, revision = "main"] = REPOSITORY.exec(url) ?? [];
  if (!repository) throw fileError("bad-option", url, "not of the form hf://org/name@revision", { expected: "hf://org/name@revision" });
  const { hubEndpoint } = init.network ?? NETWORK;
  const tree = `${hubEndpoint}/api/models/${repository}/tree/${encodeURIComponent(revision)}`;
  const entries = await limits.turns.run(() => readAll(tree, (response) => response.json() as Promise<Entry[]>, init));
  // Of an adapter, only its configuration and weights. Of a base every file: the crate decides which are copied.
  const names = entries.filter(({ type }) => type === "file").map(({ path }) => path);
  const isWeights = mayBeWeights(names, role);
  const wanted = (path: string) => role === "base" || path === "adapter_config.json" || isWeights(path);
  const listed = entries.filter(({ type, path }) => type === "file" && wanted(path));
  const file = async ({ path, size, lfs, oid = "" }: Entry): Promise<Input | undefined> => {
    const url = `${hubEndpoint}/${repository}/resolve/${encodeURIComponent(revision)}/${encodeURIComponent(path)}`;
    const found = size > MOST_BESIDE && !isWeights(path) ? { name: path, url, init, size } : await probe(url, path, role, init, limits);
    const content = lfs?.oid ?? oid;
    return found && { ...found, ...(content && { oid: content }) };
  };
  const files = (await limits.turns.all(listed, file)).filter((input) => input !== undefined);
  const folders = entries.filter((entry) => entry.type === "directory").map((entry) => entry.path);
  return { name: repository, files, folders };
}
