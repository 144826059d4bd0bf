import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { optionError, thrown } from "../errors.js";
import { REPLACES, standing, weightsOfModel } from "../sinks/model-files.js";
import type { Input } from "../sources/input.js";
import { writeFailed } from "./files.js";
import { parsePartial } from "./hidden.js";

/** Device and inode of a path, which are the same for every spelling and link. Nothing where there is no file. */
export async function identity(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && `${found.dev} ${found.ino}`;
}

/** @throws {LorafoldError} `bad-option` where the merge reads files of the output folder. */
export async function refuseInputs(folder: string, inputs: readonly Input[]): Promise<void> {
  const output = await identity(folder);
  if (output === undefined) return;
  // Of a link, its own folder and the folder of its target.
  const paths = inputs.flatMap(({ path }) => (path === undefined ? [] : [path]));
  const real = await Promise.all(paths.map((path) => realpath(path).catch(() => path)));
  for (const input of new Set([...paths, ...real].map(dirname))) {
    if ((await identity(input)) === output) {
      throw optionError("output", `${folder} is a folder that the merge reads`, { kind: "output-is-input", file: folder, fix: "give another folder" });
    }
  }
}

/** The names in an output folder; none where it does not exist. */
export async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    const { code } = thrown(error);
    if (code === "ENOENT") return [];
    if (code === "ENOTDIR") throw optionError("output", `${folder} is a file or below one, where a folder is wanted`, { file: folder, expected: "a folder", found: "a file", detail: error });
    throw writeFailed(folder, error);
  });
}

/** @throws {LorafoldError} `bad-option` where a folder is not empty. Hidden files of merges that are running, or were killed, do not count. */
export async function refuseOccupied(folder: string): Promise<void> {
  if ((await namesIn(folder)).some((name) => !parsePartial(name))) {
    throw optionError("output", `${folder} is not empty`, { kind: "output-not-empty", file: folder, fix: REPLACES });
  }
}

/**
 * The files of a folder that a model of these files replaces: those of the same names, and the weights of the old model, which tools would take
 * for part of the new one. Configuration and index come first.
 *
 * @throws {LorafoldError} `bad-option` where one of them is a folder.
 */
export async function replaced(folder: string, files: readonly string[]): Promise<string[]> {
  const planned = new Set(files);
  const names = await namesIn(folder);
  const weights = new Set(await weightsOfModel(names, (name) => readFile(join(folder, name), "utf8")));
  const old = names.filter((name) => planned.has(name) || weights.has(name));
  for (const name of old) {
    const path = join(folder, name);
    if (!(await stat(path).catch(() => undefined))?.isDirectory()) continue;
    throw optionError("output", `${path} is a folder, where the model ${planned.has(name) ? "has" : "that is replaced would have"} a file`, { file: path, found: "a folder", expected: "a file" });
  }
  return old.sort((a, b) => standing(b) - standing(a));
}
