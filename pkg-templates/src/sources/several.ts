import type { Listing } from "./input.js";
import type { RemoteFolder, SourceLike } from "../types.js";
import { isDirectoryHandle } from "./directory.js";
import { NETWORK } from "./network.js";
import { isHubPage } from "./on-hub.js";

/** The files of an adapter, and its name where its file may have several. */
export interface AdapterListing {
  listing: Listing;
  adapter?: string;
}

/** List an adapter by its name: the folder of that name inside, to which PEFT saves every adapter that is not called "default", or else the keys of that name in its file. */
export async function listNamed(list: (source: SourceLike) => Promise<Listing>, source: SourceLike, adapter: string): Promise<AdapterListing> {
  const listing = await list(source);
  const hasWeights = listing.files.some(({ name }) => /\.(safetensors|bin)$/.test(name));
  // Whoever cannot list a URL tries.
  const isInside = listing.folders ? listing.folders.includes(adapter) : !hasWeights;
  const folder = isInside ? await inside(source, adapter) : undefined;
  return folder === undefined ? { listing, adapter } : { listing: await list(folder) };
}

/** The folder `name` inside a source. */
async function inside(source: SourceLike, name: string): Promise<SourceLike | undefined> {
  if (typeof source === "string") {
    if (/^hf:/i.test(source) || isHubPage(source)) return onHub(source, name);
    return /^[a-z][a-z0-9+.-]+:\/\//i.test(source) ? below(source, name) : `${source}/${name}`;
  }
  if (source instanceof URL) return below(source, name);
  if (isDirectoryHandle(source)) return source.getDirectoryHandle(name);
  const { url } = source as Partial<RemoteFolder>;
  if (url !== undefined) return { ...(source as RemoteFolder), url: below(url, name).href };
  if (!(Symbol.iterator in source)) return undefined;
  // A file made of a file reads that one, and has no path that says where it lies.
  const path = (file: File) => file.webkitRelativePath.split("/");
  const files = Array.from(source as Iterable<File>).filter((file) => path(file)[1] === name && path(file).length === 3);
  return files.map((file) => new File([file], file.name, { lastModified: file.lastModified }));
}

/** The folder `name` inside a place on the hub. */
async function onHub(address: string, name: string): Promise<string> {
  const { parseRepository } = await import("./repository.js");
  const { name: repository, folder, revision } = parseRepository(address, NETWORK.hubEndpoint)!;
  const path = [...folder.split("/"), name].filter(Boolean).map(encodeURIComponent);
  return `hf://${[repository, ...path].join("/")}${revision === undefined ? "" : `@${encodeURIComponent(revision)}`}`;
}

function below(folder: string | URL, name: string): URL {
  const url = new URL(folder, typeof location === "undefined" ? undefined : location.href);
  url.pathname = `${url.pathname.replace(/\/*$/, "/")}${encodeURIComponent(name)}/`;
  return url;
}
