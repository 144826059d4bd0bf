import { fileError, LorafoldError, optionError, part, thrown, wrongValue } from "../errors.js";
import { checkOptions, REMOTE_FOLDER } from "../options.js";
import type { Platform } from "../platform.js";
import type { HubOptions, RemoteFolder, Source, SourceLike } from "../types.js";
import { isDirectoryHandle, listDirectory } from "./directory.js";
import type { Input, Listing, Role } from "./input.js";
import { NETWORK, type RequestOptions } from "./network.js";
import type { ListingLimits } from "./limits.js";
import { listUrl } from "./url.js";
import { withoutEnding } from "./weights.js";

type ListingPlatform = Pick<Platform, "openSource" | "network" | "hubEndpoint" | "hubToken">;

/**
 * List the files of any source.
 *
 * @throws {LorafoldError} `bad-option` where it is no source, `fetch-failed` where its files cannot be listed.
 */
export async function listSource(platform: ListingPlatform, source: SourceLike, role: Role, limits: ListingLimits, { signal, hub }: { signal?: AbortSignal; hub?: HubOptions } = {}): Promise<Listing> {
  if (typeof source !== "string" && (typeof source !== "object" || source === null)) {
    throw wrongValue(role, source, "something that files can be read from");
  }
  if (source === "" || (typeof source === "object" && isFileList(source) && source.length === 0)) throw optionError(role, "it is empty", { fix: "give a folder, files or an address" });
  if (hub !== undefined) (await part(import("./hub.js"))).checkHub(hub);
  const own = await platform.openSource?.(source, role);
  if (own) return own;
  if (source instanceof Blob) return named(role, [fromBlob(source, role)]);
  const { network } = platform;
  const init: RequestOptions = { ...(network && { network }), ...(signal && { signal }) };
  const endpoint = hub?.endpoint ?? platform.hubEndpoint?.() ?? (network ?? NETWORK).hubEndpoint;
  const token = hub?.token ?? platform.hubToken;
  const list = (url: string | URL, init: RequestOptions) => listUrl(String(url), role, init, limits, { endpoint: endpoint.replace(/\/+$/, ""), ...(token !== undefined && { token }) });
  if (typeof source === "string" || source instanceof URL) return list(source, init);
  if (isSource(source)) return limits.turns.run(() => listCustom(source, role));
  if (isRemoteFolder(source)) checkOptions("a URL with headers", source, REMOTE_FOLDER);
  if (isRemoteFolder(source)) return list(source.url, { ...init, headers: sendable(source.headers) });
  if (isDirectoryHandle(source)) return listDirectory(source);
  if (isFileList(source) && Array.from<unknown>(source).every((file) => file instanceof File)) {
    const files = Array.from(source);
    return { ...named(role, topLevel(files).map((file) => fromBlob(file, role)), files[0]), folders: subfolders(files) };
  }
  throw notSource(role, source);
}

/** What was given instead of a source, and what to give. */
function notSource(role: Role, source: object): LorafoldError {
  const sources = "give a path or an address, a Blob, File objects, a directory handle, { url, headers }, or an object with list and read";
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return optionError(role, "bytes are no source", { fix: "wrap them: new Blob([bytes])" });
  return optionError(role, Array.isArray(source) ? "an array of other things than File objects" : "not something that files can be read from", { fix: sources });
}

function isFileList(source: object): source is FileList | readonly File[] {
  return Array.isArray(source) || (typeof FileList !== "undefined" && source instanceof FileList);
}

function isRemoteFolder(source: object): source is RemoteFolder {
  const { url } = source as Partial<RemoteFolder>;
  return typeof url === "string" || url instanceof URL;
}

/** Headers that can be sent. The platform's error would repeat a value, which may be a secret. */
function sendable(headers: RemoteFolder["headers"]): Record<string, string> {
  try {
    return Object.fromEntries(new Headers(headers));
  } catch {
    throw optionError("headers", "there is a name or a value that no header can have");
  }
}

function isSource(source: unknown): source is Source {
  const { list, read } = source as Partial<Source>;
  return typeof list === "function" && typeof read === "function";
}

function fromBlob(blob: Blob, role: Role): Input {
  const unnamed = role === "base" ? "model.safetensors" : "adapter_model.safetensors";
  if (!(blob instanceof File)) return { name: unnamed, size: blob.size, blob };
  return { name: blob.name, size: blob.size, blob, version: String(blob.lastModified) };
}

/** The files directly inside a picked folder, without those of its sub-folders. */
function topLevel(files: File[]): File[] {
  return files.filter((file) => (file.webkitRelativePath ?? "").split("/").length <= 2);
}

function subfolders(files: File[]): string[] {
  const below = files.map((file) => (file.webkitRelativePath ?? "").split("/")).filter((path) => path.length > 2);
  return [...new Set(below.map((path) => path[1]!))].filter((name) => !name.startsWith(".")).sort();
}

function named(role: Role, files: Input[], first?: File): Listing {
  const folder = first?.webkitRelativePath?.split("/")[0];
  const single = files.length === 1 ? withoutEnding(files[0]!.name) : undefined;
  return { name: folder || single || role, files };
}

async function listCustom(source: Source, role: Role): Promise<Listing> {
  const files = await Promise.resolve()
    .then(() => source.list())
    .catch((error: unknown) => {
      if (error instanceof LorafoldError) throw error;
      throw fileError("fetch-failed", role, `the source's list failed: ${thrown(error).message}`, { detail: error });
    });
  if (!Array.isArray(files)) throw fileError("fetch-failed", role, "the source's list did not give an array");
  const inputs = files.map((file: unknown) => {
    if (!isListed(file)) throw fileError("fetch-failed", role, `the source's list gave ${JSON.stringify(file)}, not a file's name and size in bytes`);
    const { name, size, version } = file;
    return {
      name,
      size,
      ...(version !== undefined && { version }),
      read: (start: number, end: number) => source.read(name, start, end, version),
      ...(source.stream && { stream: (start: number, end: number) => source.stream!(name, start, end, version) }),
    };
  });
  return { name: role, files: inputs };
}

type Listed = Awaited<ReturnType<Source["list"]>>[number];

function isListed(file: unknown): file is Listed {
  if (typeof file !== "object" || file === null) return false;
  const { name, size, version }: { [field in keyof Listed]?: unknown } = file;
  return typeof name === "string" && Number.isSafeInteger(size) && Number(size) >= 0 && (typeof version === "string" || (version ?? undefined) === undefined);
}
