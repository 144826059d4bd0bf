import { createReadStream, openAsBlob } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { inNamingOrder } from "../sinks/model-files.js";
import type { PlannedFile } from "../sinks/sink.js";
import type { MergedFile } from "../types.js";
import { writeFailed } from "./files.js";
import { newToken, partial } from "./hidden.js";
import { lock } from "./lock.js";
import { refuseOccupied, replaced } from "./model-folder.js";

/** What is done with a model that is in the folder. */
export interface Publication {
  /** Of the merge whose files they are; parts have none, and may have been published half way by a process that was killed. */
  token?: string;
  /** Replace the model that is there. */
  force: boolean;
}

/**
 * Milliseconds to wait for other merges that give names: who replaces what they leave need not have merged in vain; who does not is most often
 * refused after them, but of two that came at the same time one is to win.
 */
const PATIENCE = { force: 10_000, otherwise: 500 };

/**
 * Give complete files their names, or, where that fails, leave the folder as it was.
 *
 * @throws {LorafoldError} `bad-option` where the folder has something in it meanwhile, and neither `force` nor a part says that it may.
 */
export async function publish(folder: string, files: readonly PlannedFile[], { token, force }: Publication): Promise<MergedFile[]> {
  const unlock = await lock(folder, force ? PATIENCE.force : PATIENCE.otherwise);
  try {
    if (!force && token !== undefined) await refuseOccupied(folder);
    await name(folder, files, token, force);
  } finally {
    await unlock();
  }
  return mergedFiles(folder, files);
}

/** Files that stand in a folder under their names, as a merge gives them. */
export function mergedFiles(folder: string, files: readonly PlannedFile[]): MergedFile[] {
  return files.map(({ name, size }) => {
    const path = join(folder, name);
    const stream = () => Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>;
    return { name, size, blob: () => openAsBlob(path), stream };
  });
}

/**
 * The old model is set aside, configuration and index first, and the new one gets its names, configuration and index last: at no moment
 * does a tool take the folder for a model while only some of its files are there.
 */
async function name(folder: string, files: readonly PlannedFile[], token: string | undefined, force: boolean): Promise<void> {
  const moved: { from: string; to: string }[] = [];
  const move = async (from: string, to: string) => {
    await rename(join(folder, from), join(folder, to));
    moved.push({ from, to });
  };
  const aside = newToken();
  const old = force ? await replaced(folder, files.map((file) => file.name)) : [];
  try {
    for (const { name, size } of files) {
      const path = join(folder, partial(name, token));
      if ((await stat(path)).size !== size) throw new Error(`${path}: its size is not what it should be`);
    }
    for (const name of old) await move(name, partial(name, aside));
    for (const { name } of inNamingOrder(files)) await move(partial(name, token), name);
  } catch (error) {
    // Backwards, so that what makes it a model comes back last, and only if all else did.
    try {
      for (const { from, to } of moved.reverse()) await rename(join(folder, to), join(folder, from));
    } catch {
      // The first error says more.
    }
    throw writeFailed(folder, error);
  }
  await Promise.allSettled(old.map((name) => rm(join(folder, partial(name, aside)))));
}
