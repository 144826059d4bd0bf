import { createHash, randomUUID } from "node:crypto";
import { open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { LorafoldError } from "../errors.js";
import type { PlannedFile } from "../sinks/sink.js";
import { partial } from "./hidden.js";
import { changedInput, type InputState } from "./input-states.js";
import { namesIn } from "./model-folder.js";

/** What a part that is done leaves in the folder. */
export interface Receipt {
  /** Of the plan: all parts of a merge have the same. */
  identity: string;
  part: number;
  of: number;
  files: PlannedFile[];
  /** Of what was read, when the part was begun. */
  inputs: InputState[];
  written: { file: string; start: number; end: number; sha256: string }[];
}

const PREFIX = ".lorafold-part-";

const NAME = /^\.lorafold-part-\d+-of-\d+\.json$/;

const nameOf = ({ part, of }: { part: number; of: number }) => `${PREFIX}${part}-of-${of}.json`;

/** The receipts in a folder. */
export async function readReceipts(folder: string): Promise<Receipt[]> {
  const receipts = await Promise.all(
    (await namesIn(folder)).filter((name) => NAME.test(name)).map(async (name) => {
      try {
        return JSON.parse(await readFile(join(folder, name), "utf8")) as Receipt;
      } catch (error) {
        throw new LorafoldError("bad-config", `${join(folder, name)}: ${(error as Error).message}`, { detail: error });
      }
    }),
  );
  return receipts.sort((a, b) => a.part - b.part);
}

/** With `force` a model may stand in the folder; otherwise nothing but what parts have written, and those of the `files` that a finish has named. */
export async function refuseForeign(folder: string, files: readonly PlannedFile[]): Promise<void> {
  const names = new Set(await namesIn(folder));
  const named = new Set(files.map(({ name }) => name).filter((name) => !names.has(partial(name))));
  const foreign = [...names].find((name) => !(name.endsWith(".partial") || name.startsWith(PREFIX) || named.has(name)));
  if (foreign !== undefined) throw new LorafoldError("bad-option", `output: ${folder} is not empty: it has ${foreign}; force replaces the model in it`);
}

/** Why a part that is there does not become one model with what else is merged, where that is so. */
export function refusal(folder: string, { part, of, ...receipt }: Receipt, merge: Pick<Receipt, "identity" | "of" | "inputs">): LorafoldError | undefined {
  const what = `output: ${folder}: part ${part} of ${of}`;
  const way = "to merge a part with force removes it";
  if (receipt.identity !== merge.identity || of !== merge.of) return new LorafoldError("bad-option", `${what} is of another merge; ${way}`);
  const changed = changedInput(receipt.inputs, merge.inputs);
  return changed === undefined ? undefined : new LorafoldError("source-changed", `${what} was merged from another ${changed}; ${way}`);
}

/** Written to another name first: a receipt is whole, or not there. */
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

/** Remove every receipt, and what a part that was killed left of its own. */
export async function removeReceipts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (name.startsWith(PREFIX)) await rm(join(folder, name), { force: true });
}

/** From now on the part does not count. */
export async function removeReceipt(folder: string, receipt: { part: number; of: number }): Promise<void> {
  await rm(join(folder, nameOf(receipt)), { force: true });
}

/** Bytes hashed at a time. */
const STEP = 4 << 20;

/** The sha256 of bytes `start` up to `end` of a file, as they stand on the disk. */
export async function hashRange(path: string, start: number, end: number): Promise<string> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(Math.min(STEP, end - start));
  const file = await open(path);
  try {
    for (let at = start; at < end; ) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), at);
      if (bytesRead === 0) throw new LorafoldError("truncated", `${path}: it ends at byte ${at}`);
      hash.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}
