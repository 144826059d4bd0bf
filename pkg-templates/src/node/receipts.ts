import { createHash, randomUUID } from "node:crypto";
import { open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileError, LorafoldError, optionError, platformFacts, thrown } from "../errors.js";
import { REPLACES } from "../sinks/model-files.js";
import type { PlannedFile } from "../sinks/sink.js";
import { Turns } from "../sources/turns.js";
import { partial } from "./hidden.js";
import { changedInput } from "./input-states.js";
import { namesIn } from "./model-folder.js";
import { isReceipt, type Receipt } from "./receipt.js";

/** What the user can do about a receipt that is of no use here. */
const FORCE = "to merge a part with force removes it";

const PREFIX = ".lorafold-part-";

const NAME = /^\.lorafold-part-\d+-of-\d+\.json$/;

/** The last receipt of a complete model: it still says so when all others are removed. */
const FINISHED = `${PREFIX}finished.json`;

const nameOf = ({ part, of }: { part: number; of: number }) => `${PREFIX}${part}-of-${of}.json`;

/**
 * The receipts in a folder. With `force`, files that are no valid receipts are removed.
 *
 * @throws {LorafoldError} `bad-config` where a file of that name is no valid receipt.
 */
export async function readReceipts(folder: string, force = false): Promise<Receipt[]> {
  const names = (await namesIn(folder)).filter((name) => NAME.test(name));
  const receipts = await new Turns().all(names, async (name) => {
    try {
      return await readReceipt(folder, name);
    } catch (error) {
      if (!(force && thrown(error).code === "bad-config")) throw error;
      await rm(join(folder, name), { force: true });
      return undefined;
    }
  });
  return receipts.filter((receipt) => receipt !== undefined).sort((a, b) => a.part - b.part);
}

/** Nothing where the file is gone, because its part is being merged again. */
async function readReceipt(folder: string, name: string): Promise<Receipt | undefined> {
  const path = join(folder, name);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    const { code, message } = thrown(error);
    if (code === "ENOENT") return undefined;
    throw fileError("fetch-failed", path, message, platformFacts(error));
  });
  if (text === undefined) return undefined;
  const bad = (why: string, detail?: unknown) => fileError("bad-config", path, why, { fix: FORCE, detail });
  let receipt: unknown;
  try {
    receipt = JSON.parse(text);
  } catch (error) {
    throw bad(thrown(error).message, error);
  }
  if (isReceipt(receipt) && (name === FINISHED || name === nameOf(receipt))) return receipt;
  throw bad("not what a part leaves");
}

/** @throws {LorafoldError} `bad-option` where the folder has files other than those of parts, and those of `files` that were renamed already. */
export async function refuseForeign(folder: string, files: readonly PlannedFile[]): Promise<void> {
  const names = new Set(await namesIn(folder));
  const named = new Set(files.map(({ name }) => name).filter((name) => !names.has(partial(name))));
  const foreign = [...names].find((name) => !(name.endsWith(".partial") || name.startsWith(PREFIX) || named.has(name)));
  if (foreign !== undefined) throw optionError("output", `${folder} is not empty: it has ${foreign}`, { kind: "output-not-empty", file: folder, found: foreign, fix: REPLACES });
}

/** Why a part in the folder does not belong to this merge; nothing where it does. */
export function refusal(folder: string, { part, of, ...receipt }: Receipt, merge: Pick<Receipt, "identity" | "of" | "inputs">): LorafoldError | undefined {
  const what = `${folder}: part ${part} of ${of}`;
  const about = { file: folder, fix: FORCE };
  if (receipt.identity !== merge.identity || of !== merge.of) return optionError("output", `${what} is of another merge`, about);
  const changed = changedInput(receipt.inputs, merge.inputs);
  return changed === undefined ? undefined : fileError("source-changed", folder, `part ${part} of ${of} was merged from another ${changed}`, about);
}

/** Write a receipt under another name, then rename it: it is complete, or not there. */
export async function writeReceipt(folder: string, receipt: Receipt): Promise<void> {
  const path = join(folder, nameOf(receipt));
  // The same part may be merged by two machines at once.
  const hidden = `${path}.${randomUUID()}.partial`;
  const file = await open(hidden, "w");
  try {
    await file.writeFile(`${JSON.stringify(receipt, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(hidden, path);
}

/** The receipt that says that all files have their final names. It is there where `finishParts` was interrupted after renaming them. */
export const readFinished = (folder: string): Promise<Receipt | undefined> => readReceipt(folder, FINISHED);

/** Record, by one rename, that all files have their final names. */
export async function markFinished(folder: string, receipt: Receipt): Promise<void> {
  await rename(join(folder, nameOf(receipt)), join(folder, FINISHED)).catch((error: unknown) => {
    // Another `finishParts` at the same time did.
    if (thrown(error).code !== "ENOENT") throw error;
  });
}

/** Remove every receipt and unfinished receipt; the one that says that the model is complete goes last. */
export async function removeReceipts(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(PREFIX) && name !== FINISHED);
  for (const name of names) await rm(join(folder, name), { force: true });
  await unfinish(folder);
}

/** Remove the mark that the model is complete: a part of it is merged again. */
export async function unfinish(folder: string): Promise<void> {
  await rm(join(folder, FINISHED), { force: true });
}

/** Remove the receipt of a part, which no longer counts. */
export async function removeReceipt(folder: string, receipt: { part: number; of: number }): Promise<void> {
  await rm(join(folder, nameOf(receipt)), { force: true });
}

/** Bytes hashed at a time. */
const STEP = 4 << 20;

/** The SHA-256, in hex, of bytes `start` up to `end` of a file. */
export async function hashRange(path: string, start: number, end: number): Promise<string> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(Math.min(STEP, end - start));
  const file = await open(path);
  try {
    for (let at = start; at < end; ) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), at);
      if (bytesRead === 0) throw fileError("truncated", path, `it ends at byte ${at}`);
      hash.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}
