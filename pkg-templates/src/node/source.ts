import type { Stats } from "node:fs";
import { stat, readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { LorafoldError, thrown } from "../errors.js";
import type { Input, Listing, Role } from "../sources/input.js";
import type { SourceLike } from "../types.js";

/** The path a source means, when it means one. */
export function asPath(source: unknown): string | undefined {
  if (source instanceof URL) return source.protocol === "file:" ? pathOfUrl(source) : undefined;
  if (typeof source !== "string") return undefined;
  if (source === "") throw new LorafoldError("bad-option", "a path is empty");
  if (source.startsWith("file:")) return pathOfUrl(source);
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(source) || source.startsWith("blob:") ? undefined : resolve(source);
}

function pathOfUrl(url: string | URL): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new LorafoldError("bad-option", `${url}: ${thrown(error).message}`, { detail: error });
  }
}

/** List a folder, or a file as a folder of one (an adapter's brings the configuration beside it, as it does behind a URL). */
export async function listPath(source: SourceLike, role: Role): Promise<Listing | undefined> {
  const path = asPath(source);
  if (path === undefined) return undefined;
  const data = await stat(path).catch((error: unknown) => {
    throw new LorafoldError("fetch-failed", `${path}: ${thrown(error).message}`, { detail: error });
  });
  if (data.isDirectory()) {
    const names = (await readdir(path)).sort();
    const found = await Promise.all(names.map((name) => entryIn(path, name)));
    const files = found.filter((entry): entry is Input => typeof entry === "object");
    return { name: basename(path), files, folders: found.filter((entry) => typeof entry === "string") };
  }
  const files: Input[] = [{ name: basename(path), size: data.size, path, version: versionOf(data) }];
  if (role === "adapter" || basename(path) === "adapter_model.safetensors") {
    const config = await entryIn(dirname(path), "adapter_config.json").catch(() => undefined);
    if (typeof config === "object") files.push(config);
  }
  return { name: basename(path).replace(/\.safetensors$/, ""), files };
}

/** A file; of a folder its name, where it is not hidden. */
async function entryIn(folder: string, name: string): Promise<Input | string | undefined> {
  const path = join(folder, name);
  const data = await stat(path).catch((error: unknown) => {
    // A link that leads nowhere: without it the model would lack a file.
    throw new LorafoldError("fetch-failed", `${path}: ${thrown(error).message}`, { detail: error });
  });
  if (data.isDirectory()) return name.startsWith(".") ? undefined : name;
  return data.isFile() ? { name, size: data.size, path, version: versionOf(data) } : undefined;
}

/** What tells one state of a file from another: which file it is, and when it was last written to. */
export const versionOf = ({ ino, size, mtimeMs }: Stats): string => `${ino}-${size}-${mtimeMs}`;

/** Whoever writes to an input while it is read would have a mixture of two models. */
export async function checkInputs(inputs: readonly Input[]): Promise<void> {
  for (const { path, version } of inputs) {
    if (path === undefined || version === undefined) continue;
    const data = await stat(path).catch(() => undefined);
    if (!data || versionOf(data) !== version) throw changed(path);
  }
}

/** An input is not what it was when it was listed. */
export const changed = (path: string): LorafoldError => new LorafoldError("source-changed", `${path}: it was written to after it was listed`);
