import { createReadStream } from "node:fs";
import { open, readdir, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { LorafoldError } from "../errors.js";
import type { PlannedFile } from "../sinks/sink.js";
import { isWeights } from "../sinks/stale.js";
import type { Input } from "../sources/listing.js";
import type { MergedFile } from "../types.js";
import { writeFailed } from "./files.js";

/** A file that is not finished is hidden, and no tool takes it for weights. */
export const partial = (name: string) => `.${name}.partial`;

/** Give a hidden file its size, by the flag "w" as a new one, by "a" with what is in it. */
export async function allot(path: string, size: number, flag: "w" | "a"): Promise<void> {
  const file = await open(path, flag);
  try {
    await file.truncate(size);
  } finally {
    await file.close();
  }
}

/** The merge must not write to a folder that it reads. Other spellings and links lead to the same folder: the file system knows. */
export async function refuseInputs(folder: string, inputs: readonly Input[]): Promise<void> {
  const identity = async (path: string) => {
    const found = await stat(path, { bigint: true }).catch(() => undefined);
    return found && `${found.dev} ${found.ino}`;
  };
  const output = await identity(folder);
  if (output === undefined) return;
  // Of a link both its folder and that of the file it leads to.
  const paths = inputs.flatMap(({ path }) => (path === undefined ? [] : [path]));
  const real = await Promise.all(paths.map((path) => realpath(path).catch(() => path)));
  for (const input of new Set([...paths, ...real].map(dirname))) {
    if ((await identity(input)) === output) {
      throw new LorafoldError("bad-option", `output: ${folder} is a folder that the merge reads; give it another one`);
    }
  }
}

/** Give complete files their names. With `force` they replace the model that is there. */
export async function publish(folder: string, files: readonly PlannedFile[], force: boolean): Promise<MergedFile[]> {
  if (force) {
    await removeStale(folder, files).catch((error: unknown) => {
      throw writeFailed(folder, error);
    });
  }
  // config.json is the last: without it no tool takes the folder for a model.
  const rank = ({ name }: PlannedFile) => Number(name === "config.json");
  for (const { name, size } of [...files].sort((a, b) => rank(a) - rank(b))) {
    const from = join(folder, partial(name));
    try {
      if ((await stat(from)).size !== size) throw new Error("its size is not what it should be");
      await rename(from, join(folder, name));
    } catch (error) {
      throw writeFailed(from, error);
    }
  }
  return files.map(({ name, size }) => {
    const path = join(folder, name);
    const stream = () => Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>;
    return { name, size, blob: async () => new Blob([await readFile(path)]), stream };
  });
}

/**
 * Weights of the model that is replaced would be taken for part of the new one. And without configuration and index
 * no tool takes the folder for a model while only some of its files are the new ones.
 */
async function removeStale(folder: string, files: readonly PlannedFile[]): Promise<void> {
  const kept = new Set(files.map((file) => file.name));
  for (const name of await readdir(folder)) {
    const first = name === "config.json" || name.endsWith(".index.json");
    if (kept.has(name) ? first : isWeights(name)) await rm(join(folder, name));
  }
}
