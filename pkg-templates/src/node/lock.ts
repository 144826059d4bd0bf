import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { optionError } from "../errors.js";
import { writeFailed } from "./files.js";
import { hasEnded, newToken, parsePartial, partial } from "./hidden.js";
import { namesIn } from "./model-folder.js";

/** What the hidden files are called that merges have in a folder while they give their files names. */
const NAME = "lorafold-publish";

/** The file of one merge. Its name says whose it is, so that it is never without an owner, and an empty file, so that it fits on a full disk. */
export const lockFile = (token: string): string => partial(NAME, token);

/** Most milliseconds between two looks. Those who came at the same time come back at different ones. */
const PAUSE = 20;

/**
 * Two merges that name their files in one folder at the same time would mix them: wait until nobody else does, for `patience` milliseconds.
 *
 * Whoever has its file in the folder, and then sees no other's, is alone: of two, the later one sees the file of the earlier. That of a process
 * which was killed may be removed by anybody at any time, because no other ever has its name.
 *
 * @returns what ends it.
 * @throws {LorafoldError} `bad-option` where another merge is still at it.
 */
export async function lock(folder: string, patience: number): Promise<() => Promise<void>> {
  const mine = lockFile(newToken());
  const release = () => rm(join(folder, mine), { force: true });
  const until = performance.now() + patience;
  for (;;) {
    let other = await otherLock(folder, mine);
    if (other === undefined) {
      await writeFile(join(folder, mine), "").catch((error: unknown) => {
        throw writeFailed(join(folder, mine), error);
      });
      try {
        other = await otherLock(folder, mine);
      } catch (error) {
        await release();
        throw error;
      }
      if (other === undefined) return release;
      await release();
    }
    if (performance.now() > until) {
      throw optionError("output", `${folder}: another merge is giving its files their names, and has ${join(folder, other)} there meanwhile`, { file: folder, fix: "try again when it has ended" });
    }
    await pause(Math.random() * PAUSE);
  }
}

/** The lock of another merge that is at work, once those of processes that were killed are gone. */
async function otherLock(folder: string, mine: string): Promise<string | undefined> {
  let other: string | undefined;
  for (const name of await namesIn(folder)) {
    const hidden = parsePartial(name);
    if (hidden?.name !== NAME || name === mine) continue;
    if (hasEnded(hidden.token)) await rm(join(folder, name), { force: true }).catch(() => undefined);
    else other = name;
  }
  return other;
}
