import { mkdir, readdir, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LorafoldError } from "../errors.js";
import type { PlannedFile, Sink } from "../sinks/sink.js";
import type { Input } from "../sources/listing.js";
import type { MergedFile } from "../types.js";
import type { Target } from "../workers/protocol.js";
import { FileTargets, writeFailed } from "./files.js";
import { allot, partial, publish, refuseInputs } from "./model-folder.js";

/** Weights that a merge which was killed has left. */
const LEFT_OVER = /^\..+\.safetensors\.partial$/;

/** Writes into a folder on disk. Files get their names when all of them are complete. */
export class FolderSink implements Sink {
  readonly #folder: string;
  readonly #force: boolean;
  readonly #inputs: readonly Input[];
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

  async #open(files: PlannedFile[]): Promise<void> {
    await refuseInputs(this.#folder, this.#inputs);
    const there: string[] = await readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw new LorafoldError("bad-option", `output: ${this.#folder}: ${error.message}`, { detail: error });
    });
    // What an earlier merge that was killed left behind does not count.
    if (!this.#force && there.some((name) => !name.endsWith(".partial"))) {
      throw new LorafoldError("bad-option", `output: ${this.#folder} is not empty; force replaces the model in it`);
    }
    for (const { name } of files.filter((file) => there.includes(file.name))) {
      const path = join(this.#folder, name);
      if ((await stat(path).catch(() => undefined))?.isDirectory()) {
        throw new LorafoldError("bad-option", `output: ${path} is a folder, and the model has a file of that name`);
      }
    }
    this.#files = files;
    try {
      for (const name of there.filter((name) => LEFT_OVER.test(name))) await rm(join(this.#folder, name));
      this.#madeFolder = await mkdir(this.#folder, { recursive: true });
      for (const { name, size } of files) await allot(join(this.#folder, partial(name)), size, "w");
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
    return publish(this.#folder, this.#files, this.#force);
  }

  async abort(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    this.#targets.close();
    await Promise.allSettled(this.#files.map((_, file) => rm(this.#partialPath(file), { force: true })));
    if (this.#madeFolder === undefined) return;
    // Only what this merge made, folders above the output's among it, and only while it is empty.
    for (let folder = this.#folder; folder.length >= this.#madeFolder.length; folder = dirname(folder)) {
      if (!(await rmdir(folder).then(() => true, () => false))) return;
    }
  }

  #partialPath(file: number): string {
    return join(this.#folder, partial(this.#files[file]!.name));
  }
}
