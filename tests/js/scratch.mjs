// @ts-check
// Temporary folders, and what is in folders.
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new folder, gone after the test. @param {{ after: (hook: () => Promise<void>) => void }} t */
export async function scratch(t) {
  const folder = await mkdtemp(join(tmpdir(), "lorafold-test-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** @param {string} folder @param {Record<string, Uint8Array | string>} files */
export async function writeFolder(folder, files) {
  await mkdir(folder, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
  return folder;
}

/** @param {Uint8Array} bytes */
export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Every file below a folder with its hash. @param {string} folder @returns {Promise<Record<string, string>>} */
export async function snapshot(folder) {
  /** @type {Record<string, string>} */
  const found = {};
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    found[path.slice(folder.length + 1)] = entry.isFile() ? sha256(await readFile(path)) : "folder";
  }
  return Object.fromEntries(Object.entries(found).sort());
}

/** The hashes of a merge's files. @param {{ files: { name: string, blob(): Promise<Blob> }[] }} result */
export async function hashes(result) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const { name, blob } of result.files) found[name] = sha256(new Uint8Array(await (await blob()).arrayBuffer()));
  return Object.fromEntries(Object.entries(found).sort());
}
