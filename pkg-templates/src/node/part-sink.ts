import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { FileRange } from "../file-ranges.js";
import type { PlannedFile, Sink } from "../sinks/sink.js";
import type { Input } from "../sources/input.js";
import type { Target } from "../workers/protocol.js";
import { FileTargets, writeFailed } from "./files.js";
import { partial } from "./hidden.js";
import type { InputState } from "./input-states.js";
import { makeFolder } from "./make-folder.js";
import { refuseInputs } from "./model-folder.js";
import { allot, openOwn } from "./own-file.js";
import type { Receipt } from "./receipt.js";
import { hashRange, readReceipts, refusal, refuseForeign, removeReceipt, unfinish, writeReceipt } from "./receipts.js";

/** Which part of which merge, and what it reads and writes. */
export interface PartPlace {
  identity: string;
  part: number;
  of: number;
  wanted: FileRange[];
  force: boolean;
  inputs: readonly Input[];
  states: InputState[];
}

/** Writes one part of a model into files that other parts, on other machines, write to at the same time. */
export class PartSink implements Sink<Receipt> {
  readonly #folder: string;
  readonly #place: PartPlace;
  readonly #targets = new FileTargets();
  #files: PlannedFile[] = [];

  constructor(folder: string, place: PartPlace) {
    this.#folder = folder;
    this.#place = place;
  }

  async open(files: PlannedFile[]): Promise<void> {
    const { force, wanted, inputs } = this.#place;
    this.#files = files;
    await refuseInputs(this.#folder, inputs);
    try {
      await makeFolder(this.#folder);
    } catch (error) {
      throw writeFailed(this.#folder, error);
    }
    const receipts = await this.#refuseOthers();
    // A `finishParts` that found this part damaged may have renamed some of the files.
    if (!force) await refuseForeign(this.#folder, receipts.length > 0 ? files : []);
    // From now on the result of an earlier attempt does not count.
    await unfinish(this.#folder);
    await removeReceipt(this.#folder, this.#place);
    for (const file of new Set(wanted.map((range) => range.file))) {
      try {
        // Not truncated: other parts write to the same file.
        await allot(this.#path(file), files[file]!.size, "shared");
      } catch (error) {
        throw writeFailed(this.#path(file), error);
      }
    }
  }

  /** Refuse parts of another merge in the same folder, or remove them with `force`. Gives the receipts of this merge. */
  async #refuseOthers(): Promise<Receipt[]> {
    const { identity, of, states, force } = this.#place;
    const mine: Receipt[] = [];
    for (const receipt of await readReceipts(this.#folder, force)) {
      const refused = refusal(this.#folder, receipt, { identity, of, inputs: states });
      if (!refused) {
        mine.push(receipt);
        continue;
      }
      if (!force) throw refused;
      await removeReceipt(this.#folder, receipt);
      // Files that only the other merge has would never be finished.
      const others = receipt.files.filter(({ name }) => this.#files.every((file) => file.name !== name));
      for (const { name } of others) await rm(join(this.#folder, partial(name)), { force: true });
    }
    return mine;
  }

  target(file: number, at: number): Target {
    return { path: this.#path(file), at };
  }

  async write(file: number, at: number, bytes: Uint8Array<ArrayBuffer> | Blob): Promise<void> {
    this.#targets.write(this.#path(file), at, bytes instanceof Blob ? new Uint8Array(await bytes.arrayBuffer()) : bytes);
  }

  async finish(): Promise<Receipt> {
    this.#targets.close();
    const { identity, part, of, wanted, states } = this.#place;
    const receipt: Receipt = { identity, part, of, files: this.#files, inputs: states, written: [] };
    try {
      for (const { file, start, end } of wanted) {
        const path = this.#path(file);
        // Sync before the receipt is written: after a crash there must be no receipt without its bytes.
        const handle = await openOwn(path);
        await handle.sync().finally(() => handle.close());
        receipt.written.push({ file: this.#files[file]!.name, start, end, sha256: await hashRange(path, start, end) });
      }
      await writeReceipt(this.#folder, receipt);
    } catch (error) {
      throw writeFailed(this.#folder, error);
    }
    return receipt;
  }

  /** The files stay, because other parts write to them. Without a receipt this part does not count. */
  async abort(): Promise<void> {
    this.#targets.close();
  }

  #path(file: number): string {
    return join(this.#folder, partial(this.#files[file]!.name));
  }
}
