import type { Stats } from "node:fs";
import { stat, readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { fileError, LorafoldError, platformFacts, quoted, thrown } from "../errors.js";
import type { Input, Listing, Role } from "../sources/input.js";
import { isHubPage } from "../sources/on-hub.js";
import { withoutEnding } from "../sources/weights.js";
import type { SourceLike } from "../types.js";

/** The absolute path that a source or an output names; nothing where it is no path. */
export function asPath(source: unknown): string | undefined {
  if (source instanceof URL) return source.protocol === "file:" ? pathOfUrl(source) : undefined;
  if (typeof source !== "string") return undefined;
  if (source === "") throw new LorafoldError("bad-option", "a path is empty", { found: quoted("") });
  if (source.startsWith("file:")) return pathOfUrl(source);
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(source) || source.startsWith("blob:") ? undefined : resolve(source);
}

function pathOfUrl(url: string | URL): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw fileError("bad-option", String(url), thrown(error).message, { detail: error });
  }
}

/** List a folder, or a single file. For an adapter's file, `adapter_config.json` beside it is listed too, as it is behind a URL. */
export async function listPath(source: SourceLike, role: Role): Promise<Listing | undefined> {
  const path = asPath(source);
  if (path === undefined) return undefined;
  const data = await stat(path).catch((error: unknown) => {
    if (typeof source === "string" && isHubPage(source)) return undefined;
    throw fileError("fetch-failed", path, thrown(error).message, platformFacts(error));
  });
  if (!data) return undefined;
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

/** An entry of a folder: a file as an input, a folder that is not hidden as its name. */
async function entryIn(folder: string, name: string): Promise<Input | string | undefined> {
  const path = join(folder, name);
  const data = await stat(path).catch((error: unknown) => {
    // A broken link: skipping it would leave a file out of the model.
    throw fileError("fetch-failed", path, thrown(error).message, platformFacts(error));
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
