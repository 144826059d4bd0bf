import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { thrown } from "../errors.js";

/**
 * Make a folder and those above it, as `mkdir` with `recursive` does; that one never returns where a file system says of every name that it is not there
 * (`/proc`).
 *
 * @param path absolute
 * @returns the uppermost folder that was made; nothing where all were there.
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  const missing: string[] = [];
  let made: string | undefined;
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      if (await makeOne(folder)) made = folder;
      break;
    } catch (error) {
      if (thrown(error).code !== "ENOENT" || dirname(folder) === folder) throw error;
      missing.push(folder);
    }
  }
  for (const folder of missing.reverse()) if (await makeOne(folder)) made ??= folder;
  return made;
}

/** Whether it was made: another merge may have made it at the same time. */
async function makeOne(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    if (thrown(error).code === "ENOENT" || !(await stat(folder).then((found) => found.isDirectory(), () => false))) throw error;
    return false;
  }
}
