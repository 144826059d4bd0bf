import type { Context } from "../context.js";
import { throwIfAborted, wrongValue } from "../errors.js";
import { checkOptions, type Names } from "../options.js";
import type { Platform } from "../platform.js";
import { NETWORK } from "../sources/network.js";
import type { MergedFile, MergeOptions, MergeResult } from "../types.js";
import { hasherOf, hashOf, StreamHashes } from "./hashes.js";
import { statementOf } from "./statement.js";
import type { Receipt, ReceiptMetadata } from "./types.js";

const RECEIPT_METADATA: Names<ReceiptMetadata> = { invocationId: true, startedOn: true, finishedOn: true };

/** A merge with a receipt: the output that it is to have, and the receipt once it is done. */
export interface Receipted {
  output: MergeOptions["output"];
  receipt(result: MergeResult): Promise<Receipt>;
}

/**
 * Have a merge give a receipt. Streams are hashed as they are written; every other output, which workers write in shares and in any order, is read once more.
 *
 * @throws {LorafoldError} `bad-option` where the option is none.
 */
export async function receipted({ platform }: Context, merge: MergeOptions): Promise<Receipted> {
  const metadata = metadataOf(merge.receipt);
  const { output } = merge;
  const newHasher = await hasherOf(platform);
  const streams = typeof output === "function" ? new StreamHashes(newHasher) : undefined;
  const hash = (file: MergedFile) => streams?.of(file.name) ?? hashOf(file, newHasher, () => throwIfAborted(merge.signal));
  return {
    output: streams ? streams.around(output as Exclude<typeof output, string | FileSystemDirectoryHandle | undefined>) : output,
    receipt: ({ files, report }) => receiptOf(platform, merge, report, files, hash, metadata),
  };
}

/** The receipt of files that lie where a merge has written them. `report` has its recipe. */
export async function receiptOfFiles({ platform }: Context, merge: MergeOptions, report: Recorded, files: readonly MergedFile[]): Promise<Receipt> {
  const newHasher = await hasherOf(platform);
  return receiptOf(platform, merge, report, files, (file) => hashOf(file, newHasher, () => throwIfAborted(merge.signal)), metadataOf(merge.receipt));
}

type Recorded = Pick<MergeResult["report"], "recipe" | "lorafold">;

async function receiptOf(platform: Platform, merge: MergeOptions, report: Recorded, files: readonly MergedFile[], hash: (file: MergedFile) => string | Promise<string>, metadata: ReceiptMetadata): Promise<Receipt> {
  const subject: Receipt["subject"] = [];
  for (const file of files) subject.push({ name: file.name, digest: { sha256: await hash(file) } });
  const endpoint = merge.hub?.endpoint ?? platform.hubEndpoint?.() ?? (platform.network ?? NETWORK).hubEndpoint;
  return statementOf(report, subject, { ...merge, hashBase: true }, metadata, endpoint);
}

/** @throws {LorafoldError} `bad-option` for what is no metadata. */
function metadataOf(receipt: MergeOptions["receipt"]): ReceiptMetadata {
  if (receipt === true || receipt === undefined || receipt === false) return {};
  checkOptions("receipt", receipt, RECEIPT_METADATA);
  for (const [name, value] of Object.entries(receipt)) if (typeof value !== "string") throw wrongValue(`receipt.${name}`, value, "a text");
  return receipt;
}
