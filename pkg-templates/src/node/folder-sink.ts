import { rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { PlannedFile, Sink } from "../sinks/sink.js";
import type { Input } from "../sources/input.js";
import type { MergedFile } from "../types.js";
import type { Target } from "../workers/protocol.js";
import { FileTargets, writeFailed } from "./files.js";
import { hasEnded, newToken, parsePartial, partial } from "./hidden.js";
import { makeFolder } from "./make-folder.js";
import { namesIn, refuseInputs, refuseOccupied, replaced } from "./model-folder.js";
import { allot } from "./own-file.js";
import { publish } from "./publish.js";

/** Writes into a folder on disk. The files are hidden until all of them are complete, then renamed. */
export class FolderSink implements Sink {
  readonly #folder: string;
  readonly #force: boolean;
  readonly #inputs: readonly Input[];
  /** Tells the files of this merge from those of others in the same folder. */
  readonly #token = newToken();
  readonly #targets = new FileTargets();
  #files: PlannedFile[] = [];
  #opening: Promise<void> | undefined;
  #madeFolder: string | undefined;

  /** `inputs`: what the merge reads, and must not write to. */
  constructor(folder: string, force: boolean, inputs: readonly Input[]) {
    this.#folder = folder;
    this.#force = force;
    this.#inputs = inputs;
  }

  open(files: PlannedFile[]): Promise<void> {
    return (this.#opening = this.#open(files));
  }

  async check(names: string[]): Promise<void> {
    await refuseInputs(this.#folder, this.#inputs);
    // Refused now rather than at the end of the merge.
    if (this.#force) await replaced(this.#folder, names);
    else await refuseOccupied(this.#folder);
  }

  async #open(files: PlannedFile[]): Promise<void> {
    await this.check(files.map((file) => file.name));
    // Of merges that were killed, whatever their files were to be called: nobody else ever removes them.
    const leftOver = (await namesIn(this.#folder)).filter((name) => {
      const hidden = parsePartial(name);
      return hidden && hasEnded(hidden.token);
    });
    this.#files = files;
    try {
      for (const name of leftOver) await rm(join(this.#folder, name), { force: true });
      this.#madeFolder = await makeFolder(this.#folder);
      for (const [file, { size }] of files.entries()) await allot(this.#partialPath(file), size, "new");
    } catch (error) {
      throw writeFailed(this.#folder, error);
    }
  }

  target(file: number, at: number): Target {
    return { path: this.#partialPath(file), at };
  }

  async write(file: number, at: number, bytes: Uint8Array<ArrayBuffer> | Blob): Promise<void> {
    const whole = bytes instanceof Blob ? new Uint8Array(await bytes.arrayBuffer()) : bytes;
    this.#targets.write(this.#partialPath(file), at, whole);
  }

  async finish(): Promise<MergedFile[]> {
    this.#targets.close();
    return publish(this.#folder, this.#files, { token: this.#token, force: this.#force });
  }

  async abort(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    this.#targets.close();
    await Promise.allSettled(this.#files.map((_, file) => rm(this.#partialPath(file), { force: true })));
    if (this.#madeFolder === undefined) return;
    // Remove only folders that this merge made, including those above the output, and only empty ones.
    for (let folder = this.#folder; folder.length >= this.#madeFolder.length; folder = dirname(folder)) {
      if (!(await rmdir(folder).then(() => true, () => false))) return;
    }
  }

  #partialPath(file: number): string {
    return join(this.#folder, partial(this.#files[file]!.name, this.#token));
  }
}
