import type { Stats } from "node:fs";
import { stat, readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { fileError, LorafoldError, optionError, platformFacts, quoted, thrown } from "../errors.js";
import { nearest } from "../nearest.js";
import type { Input, Listing, Role } from "../sources/input.js";
import { isHubPage } from "../sources/on-hub.js";
import { standsForFolder, withoutEnding } from "../sources/weights.js";
import type { SourceLike } from "../types.js";

/** The absolute path that a source or an output names; nothing where it is no path. */
export function asPath(source: unknown): string | undefined {
  if (source instanceof URL) return source.protocol === "file:" ? pathOfUrl(source) : undefined;
  if (typeof source !== "string") return undefined;
  if (source === "") throw new LorafoldError("bad-option", "a path is empty", { found: quoted(""), fix: "give a path, or \".\" for this folder" });
  if (source.startsWith("file:")) return pathOfUrl(source);
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(source) || source.startsWith("blob:") ? undefined : absolute(source);
}

/** @throws {LorafoldError} `bad-option` for a path that begins at a working directory which has been removed. */
export function absolute(path: string): string {
  try {
    return resolve(path);
  } catch (error) {
    throw fileError("bad-option", path, "the working directory is no longer there", { ...platformFacts(error), fix: "change to another one, or give the whole path" });
  }
}

function pathOfUrl(url: string | URL): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw fileError("bad-option", String(url), thrown(error).message, { detail: error });
  }
}

/**
 * List a folder, or a single file. For an adapter's file, `adapter_config.json` beside it is listed too, as it is behind a URL. A configuration, an
 * index and `adapter_model.safetensors` mean their folder.
 *
 * @throws {LorafoldError} `bad-option` where nothing is there, `fetch-failed` where it cannot be read.
 */
export async function listPath(source: SourceLike, role: Role): Promise<Listing | undefined> {
  const given = asPath(source);
  if (given === undefined) return undefined;
  const found = await stat(given).catch(async (error: unknown) => {
    if (typeof source === "string" && isHubPage(source)) return undefined;
    throw await absent(String(source), given, role, error);
  });
  if (!found) return undefined;
  const folder = found.isFile() && (standsForFolder(basename(given)) || basename(given) === "adapter_model.safetensors");
  const [path, data] = folder ? [dirname(given), await stat(dirname(given))] : [given, found];
  if (data.isDirectory()) {
    const names = (await readdir(path)).sort();
    const found = await Promise.all(names.map((name) => entryIn(path, name)));
    const files = found.filter((entry): entry is Input => typeof entry === "object");
    return { name: basename(path), files, folders: found.filter((entry) => typeof entry === "string") };
  }
  const files: Input[] = [{ name: basename(path), size: data.size, path, version: versionOf(data) }];
  if (role === "adapter" || withoutEnding(basename(path)) === "adapter_model") {
    const config = await entryIn(dirname(path), "adapter_config.json").catch(() => undefined);
    if (typeof config === "object") files.push(config);
  }
  return { name: withoutEnding(basename(path)), files };
}

/** The error for a path that is not there, or not to be read. */
async function absent(source: string, path: string, role: Role, error: unknown): Promise<LorafoldError> {
  const { code, message } = thrown(error);
  if (code !== "ENOENT" && code !== "ENOTDIR") return fileError("fetch-failed", path, code === "EACCES" ? "it may not be read" : message, platformFacts(error));
  const what = /\.(safetensors|bin|json)$/.test(path) ? "file" : "folder";
  const reason = `no such ${what}: ${path}`;
  const about = { kind: "not-found" as const, file: path, detail: error };
  const meant = nearest(basename(path), await readdir(dirname(path)).catch(() => []));
  if (meant !== undefined) return optionError(role, reason, { ...about, fix: `did you mean ${join(dirname(path), meant)}?` });
  if (source.startsWith("~")) return optionError(role, reason, { ...about, fix: "shells expand ~ only where a word begins: give the path in full" });
  // A repository, as the hub writes its name.
  const isRepository = /^[\w-][\w.-]*\/[\w.-]+(@.+)?$/.test(source);
  return optionError(role, reason, { ...about, ...(isRepository && { fix: `for the repository of the hub give hf://${source}` }) });
}

/** An entry of a folder: a file as an input, a folder that is not hidden as its name. */
async function entryIn(folder: string, name: string): Promise<Input | string | undefined> {
  const path = join(folder, name);
  const data = await stat(path).catch((error: unknown) => {
    // Skipping it would leave a file out of the model.
    const { code, message } = thrown(error);
    throw fileError("fetch-failed", path, code === "ENOENT" ? "it is a link to a file that is not there" : message, platformFacts(error));
  });
  if (data.isDirectory()) return name.startsWith(".") ? undefined : name;
  return data.isFile() ? { name, size: data.size, path, version: versionOf(data) } : undefined;
}

/** The version of a file: its inode, size and time of change. */
export const versionOf = ({ ino, size, mtimeMs }: Stats): string => `${ino}-${size}-${mtimeMs}`;

/** @throws {LorafoldError} `source-changed` where a file was written to after it was listed: the output may mix two models. */
export async function checkInputs(inputs: readonly Input[]): Promise<void> {
  for (const { path, version } of inputs) {
    if (path === undefined || version === undefined) continue;
    const data = await stat(path).catch(() => undefined);
    if (!data || versionOf(data) !== version) throw changed(path);
  }
}

/** The error for a file that was written to after it was listed. */
export const changed = (path: string): LorafoldError => fileError("source-changed", path, "it was written to after it was listed");
