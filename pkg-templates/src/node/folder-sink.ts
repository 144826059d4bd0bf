import { mkdir, open, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { LorafoldError } from "../errors.js";
import type { PlannedFile, Sink } from "../sinks/sink.js";
import type { MergedFile } from "../types.js";
import type { Target } from "../workers/protocol.js";
import { FileTargets, writeFailed } from "./files.js";

/** A file that is not finished is hidden, and no tool takes it for weights. */
const partial = (name: string) => `.${name}.partial`;
/** Weights that a merge which was killed has left. */
const LEFT_OVER = /^\..+\.safetensors\.partial$/;

/** Writes into a folder on disk. Files get their names when all of them are complete. */
export class FolderSink implements Sink {
  readonly #folder: string;
  readonly #force: boolean;
  readonly #inputFolders: ReadonlySet<string>;
  readonly #targets = new FileTargets();
  #files: PlannedFile[] = [];
  #opening: Promise<void> | undefined;
  #madeFolder: string | undefined;

  /** `inputFolders`: folders that the merge reads, which it must not write to. */
  constructor(folder: string, force: boolean, inputFolders: ReadonlySet<string>) {
    this.#folder = folder;
    this.#force = force;
    this.#inputFolders = inputFolders;
  }

  open(files: PlannedFile[]): Promise<void> {
    return (this.#opening = this.#open(files));
  }

  async #open(files: PlannedFile[]): Promise<void> {
    await this.#refuseInputs();
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
      for (const { name, size } of files) {
        const file = await open(join(this.#folder, partial(name)), "w");
        try {
          await file.truncate(size);
        } finally {
          await file.close();
        }
      }
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
    if (this.#force) {
      await this.#removeStale().catch((error: unknown) => {
        throw writeFailed(this.#folder, error);
      });
    }
    // config.json is the last: without it no tool takes the folder for a model.
    const order = this.#files.map((_, file) => file).sort((a, b) => this.#rank(a) - this.#rank(b));
    for (const file of order) {
      const { name, size } = this.#files[file]!;
      const from = this.#partialPath(file);
      try {
        if ((await stat(from)).size !== size) throw new Error("its size is not what it should be");
        await rename(from, join(this.#folder, name));
      } catch (error) {
        throw writeFailed(from, error);
      }
    }
    return this.#files.map(({ name, size }) => {
      const path = join(this.#folder, name);
      const stream = () => Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>;
      return { name, size, blob: async () => new Blob([await readFile(path)]), stream };
    });
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

  /** Other spellings and links lead to the same folder: the file system knows. */
  async #refuseInputs(): Promise<void> {
    const identity = async (path: string) => {
      const found = await stat(path, { bigint: true }).catch(() => undefined);
      return found && `${found.dev} ${found.ino}`;
    };
    const output = await identity(this.#folder);
    if (output === undefined) return;
    for (const input of this.#inputFolders) {
      if ((await identity(input)) === output) {
        throw new LorafoldError("bad-option", `output: ${this.#folder} is a folder that the merge reads; give it another one`);
      }
    }
  }

  /**
   * Weights of the model that is replaced would be taken for part of the new one. And without configuration and index
   * no tool takes the folder for a model while only some of its files are the new ones.
   */
  async #removeStale(): Promise<void> {
    const kept = new Set(this.#files.map((file) => file.name));
    for (const name of await readdir(this.#folder)) {
      const weights = /\.safetensors(\.index\.json)?$/.test(name) && !name.startsWith("adapter_");
      const first = name === "config.json" || name.endsWith(".index.json");
      if (kept.has(name) ? first : weights) await rm(join(this.#folder, name));
    }
  }

  #partialPath(file: number): string {
    return join(this.#folder, partial(this.#files[file]!.name));
  }

  #rank(file: number): number {
    return Number(this.#files[file]!.name === "config.json");
  }
}
