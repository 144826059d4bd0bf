import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { FileRange } from "../merge.js";
import type { PlannedFile, Sink } from "../sinks/sink.js";
import type { Input } from "../sources/input.js";
import type { Target } from "../workers/protocol.js";
import { FileTargets, writeFailed } from "./files.js";
import { partial } from "./hidden.js";
import type { InputState } from "./input-states.js";
import { allot, refuseInputs } from "./model-folder.js";
import type { Receipt } from "./receipt.js";
import { hashRange, readReceipts, refusal, refuseForeign, removeReceipt, unfinish, writeReceipt } from "./receipts.js";

/** Which part, and of what. */
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
      await mkdir(this.#folder, { recursive: true });
    } catch (error) {
      throw writeFailed(this.#folder, error);
    }
    const receipts = await this.#refuseOthers();
    // A finish that found this part damaged may have named some of the files.
    if (!force) await refuseForeign(this.#folder, receipts.length > 0 ? files : []);
    // Whatever an earlier try wrote does not count from now on.
    await unfinish(this.#folder);
    await removeReceipt(this.#folder, this.#place);
    for (const file of new Set(wanted.map((range) => range.file))) {
      try {
        // Not truncated: other parts are at work in it.
        await allot(this.#path(file), files[file]!.size, "a");
      } catch (error) {
        throw writeFailed(this.#path(file), error);
      }
    }
  }

  /** Parts of another merge in the same folder would never fit together. Gives the receipts of this one's. */
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
      // Nobody will ever finish what only the other merge has.
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
        // The receipt must not outlive the bytes when the machine goes down.
        const handle = await open(path, "r+");
        await handle.sync().finally(() => handle.close());
        receipt.written.push({ file: this.#files[file]!.name, start, end, sha256: await hashRange(path, start, end) });
      }
      await writeReceipt(this.#folder, receipt);
    } catch (error) {
      throw writeFailed(this.#folder, error);
    }
    return receipt;
  }

  /** What other parts wrote is in the same files: they stay, without a receipt of this part. */
  async abort(): Promise<void> {
    this.#targets.close();
  }

  #path(file: number): string {
    return join(this.#folder, partial(this.#files[file]!.name));
  }
}
