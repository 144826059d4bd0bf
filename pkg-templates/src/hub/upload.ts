import { fileError, LorafoldError, optionError, throwIfAborted, wrongValue } from "../errors.js";
import type { AbortSignal, Blob as AnyBlob, File as AnyFile } from "../globals.js";
import { asHub, type HubAccess } from "../sources/hub.js";
import { NETWORK, type RequestOptions } from "../sources/network.js";
import { parseRepository } from "../sources/repository.js";
import { readAll } from "../sources/request.js";
import type { HubOptions } from "../types.js";
import type { Hasher } from "./sha256.js";
import { type LargeFile, Storage } from "./storage.js";

/** A file to upload: those of a merge's result are such files. */
export type UploadFile = AnyFile | NamedBlob;

/** A file by its name, whose bytes are asked for when they are sent. */
export interface NamedBlob {
  /** Its path in the repository. */
  name: string;
  /** Its bytes. */
  blob(): Promise<AnyBlob>;
}

/** Where a model is uploaded to, and what of it. */
export interface UploadOptions {
  /** `hf://org/name`, `hf://org/name@branch`, or a folder there. */
  to: string;
  /** What is uploaded. */
  files: readonly UploadFile[];
  /** Which hub, and as whom. Uploads need a token that may write. */
  hub?: HubOptions;
  /** What the commit is called. */
  message?: string;
  /** Whether a repository that is not there is made, and who sees it; `"private"` by default. */
  create?: "private" | "public" | false;
  /** Told after each piece: every large file is read twice, for its hash and to be sent. */
  onProgress?: (progress: UploadProgress) => void;
  /** Stops the upload; nothing of it is seen then. */
  signal?: AbortSignal;
}

/** Progress of an upload. */
export interface UploadProgress {
  phase: "hashing" | "uploading";
  /** Bytes of this phase that are done, and all of them. */
  bytes: number;
  total: number;
}

/** What an upload has made. */
export interface UploadResult {
  /** The commit's hash. */
  commit: string;
  /** The page of the repository. */
  url: string;
  /** Whether the repository was made. */
  created: boolean;
}

/** Milliseconds: a request that sends gigabytes has no answer for as long as that takes. */
const PATIENCE = 2 ** 31 - 1;

/** Files of which the hub is asked at a time. */
const ASKED = 100;

/** See {@link HubApi.upload}. */
export async function upload({ to, files, message = "Upload with lorafold", create = "private", onProgress, signal }: UploadOptions, access: HubAccess, newHasher: () => Hasher): Promise<UploadResult> {
  const place = parseRepository(to, access.endpoint);
  if (!place || place.file !== undefined) throw wrongValue("to", to, "a repository of the hub, such as hf://org/name");
  if (!Array.isArray(files) || files.length === 0) throw optionError("files", "there is nothing to upload");
  if (create !== false && create !== "private" && create !== "public") throw wrongValue("create", create, '"private", "public" or false');
  const { name, folder, revision: branch = "main" } = place;
  const options = await asHub(name, { network: { ...NETWORK, stallTimeout: PATIENCE }, ...(signal && { signal }) }, access);
  if (!new Headers(options.headers).has("authorization")) {
    throw fileError("fetch-failed", to, "an upload needs a token that may write", { kind: "access-denied", fix: "give one by HF_TOKEN, --token-env, or hub: { token }" });
  }
  const contents = await Promise.all((files as readonly UploadFile[]).map(async (file) => ({ name: folder + (folder && "/") + checked(file.name), blob: file instanceof Blob ? file : ((await file.blob()) as Blob) })));
  const api = `${access.endpoint}/api/models/${name}`;
  const { head, created } = await target(access.endpoint, name, branch, create, options);
  const large = await largeOf(`${api}/preupload/${encodeURIComponent(branch)}`, contents, options);
  const hashed: LargeFile[] = [];
  const total = large.reduce((sum, { blob }) => sum + blob.size, 0);
  let bytes = 0;
  for (const { name, blob } of large) {
    const hasher = newHasher();
    const reader = blob.stream().getReader();
    for (let part; !(part = await reader.read()).done; ) {
      throwIfAborted(signal);
      hasher.update(part.value);
      bytes += part.value.length;
      onProgress?.({ phase: "hashing", bytes, total });
    }
    hashed.push({ name, blob, sha256: hasher.hex() });
  }
  const storage = new Storage(`${access.endpoint}/${name}`, branch, options);
  bytes = 0;
  await Promise.all(hashed.map((file) => storage.store(file, (more) => {
    bytes += more;
    onProgress?.({ phase: "uploading", bytes, total });
  })));
  const small = contents.filter((file) => !large.includes(file));
  const lines = [
    { key: "header", value: { summary: message, ...(head !== undefined && { parentCommit: head }) } },
    ...(await Promise.all(small.map(async ({ name, blob }) => ({ key: "file", value: { path: name, encoding: "base64", content: await base64(blob) } })))),
    ...hashed.map(({ name, blob, sha256 }) => ({ key: "lfsFile", value: { path: name, algo: "sha256", oid: sha256, size: blob.size } })),
  ];
  // Asked once: had the hub heard it, a second time would be another commit.
  const once = posting({ ...options, network: { ...NETWORK, stallTimeout: PATIENCE, retryDelays: [] } }, lines.map((line) => JSON.stringify(line)).join("\n"), "application/x-ndjson");
  const { commitOid } = await readAll(`${api}/commit/${encodeURIComponent(branch)}`, (response) => response.json() as Promise<{ commitOid?: unknown }>, once);
  if (typeof commitOid !== "string") throw fileError("fetch-failed", api, "the hub does not say which commit it made");
  return { commit: commitOid, url: `${access.endpoint}/${name}`, created };
}

function checked(name: unknown): string {
  if (typeof name === "string" && name !== "" && !/[/\\]|^\.{1,2}$/.test(name)) return name;
  throw optionError("files", `${JSON.stringify(name)} is not a file name`, { found: String(name) });
}

const posting = (options: RequestOptions, body: string, type: string): RequestOptions => ({ ...options, method: "POST", headers: { ...(options.headers as Record<string, string>), "content-type": type }, body });

/** The commit that the branch is at; a repository that is not there is made. */
async function target(endpoint: string, name: string, branch: string, create: UploadOptions["create"], options: RequestOptions): Promise<{ head?: string; created: boolean }> {
  const url = `${endpoint}/api/models/${name}/revision/${encodeURIComponent(branch)}?expand=sha`;
  try {
    const { sha } = await readAll(url, (response) => response.json() as Promise<{ sha?: unknown }>, options);
    return { created: false, ...(typeof sha === "string" && { head: sha }) };
  } catch (error) {
    if (create === false || !(error instanceof LorafoldError) || error.facts.kind !== "no-repository") throw error;
  }
  const [organization, short] = name.split("/");
  await readAll(`${endpoint}/api/repos/create`, (response) => response.text(), posting(options, JSON.stringify({ type: "model", name: short, organization, private: create === "private" }), "application/json"));
  return { created: true };
}

/** Those of the files that the hub keeps outside Git. */
async function largeOf<T extends { name: string; blob: Blob }>(url: string, files: readonly T[], options: RequestOptions): Promise<T[]> {
  const large: T[] = [];
  for (let from = 0; from < files.length; from += ASKED) {
    const some = files.slice(from, from + ASKED);
    const asked = await Promise.all(some.map(async ({ name, blob }) => ({ path: name, size: blob.size, sample: await base64(blob.slice(0, 512)) })));
    const told = await readAll(url, (response) => response.json() as Promise<{ files?: { path: string; uploadMode: string }[] }>, posting(options, JSON.stringify({ files: asked }), "application/json"));
    const modes = new Map((told.files ?? []).map(({ path, uploadMode }) => [path, uploadMode]));
    large.push(...some.filter(({ name }) => modes.get(name) === "lfs"));
  }
  return large;
}

async function base64(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  // As many arguments as every engine takes.
  for (let at = 0; at < bytes.length; at += 0x2000) text += String.fromCharCode(...bytes.subarray(at, at + 0x2000));
  return btoa(text);
}
