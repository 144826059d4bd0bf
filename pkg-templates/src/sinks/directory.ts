import { LorafoldError } from "../errors.js";
import type { MergedFile } from "../types.js";
import { type PlannedFile, type Sink, writeFailed } from "./sink.js";
import { isWeights } from "./stale.js";

interface OpenFile extends PlannedFile {
  handle: FileSystemFileHandle;
  writable: FileSystemWritableFileStream;
}

/** Writes into a directory, by streams. */
export class DirectorySink implements Sink {
  readonly #directory: FileSystemDirectoryHandle;
  readonly #force: boolean;
  /** Removes the directory itself, where it was made for this merge. */
  readonly #discard: (() => Promise<void>) | undefined;
  /** Names that were not there before. */
  readonly #made: string[] = [];
  /** Weights of the model that is replaced. */
  #stale: string[] = [];
  #files: OpenFile[] = [];
  #opening: Promise<void> | undefined;

  constructor(directory: FileSystemDirectoryHandle, force: boolean, discard?: () => Promise<void>) {
    this.#directory = directory;
    this.#force = force;
    this.#discard = discard;
  }

  open(files: PlannedFile[]): Promise<void> {
    return (this.#opening = this.#open(files));
  }

  async #open(files: PlannedFile[]): Promise<void> {
    const planned = new Set(files.map((file) => file.name));
    const there = new Set<string>();
    for await (const name of this.#directory.keys()) there.add(name);
    const inTheWay = [...there].find((name) => planned.has(name) || isWeights(name));
    if (inTheWay !== undefined && !this.#force) {
      throw new LorafoldError("bad-option", `output: ${inTheWay} is already in the folder; force replaces the model in it`);
    }
    this.#stale = [...there].filter((name) => !planned.has(name) && isWeights(name));
    for (const file of files) {
      if (!there.has(file.name)) this.#made.push(file.name);
      const handle = await this.#directory.getFileHandle(file.name, { create: true });
      // What is written here shows in the folder only when it is closed.
      this.#files.push({ ...file, handle, writable: await handle.createWritable() });
    }
  }

  async write(file: number, at: number, bytes: Uint8Array<ArrayBuffer> | Blob): Promise<void> {
    const { name, writable } = this.#files[file]!;
    try {
      await writable.write({ type: "write", position: at, data: bytes });
    } catch (error) {
      throw writeFailed(name, error);
    }
  }

  async finish(): Promise<MergedFile[]> {
    for (const name of this.#stale) await this.#directory.removeEntry(name);
    // config.json is the last file: without it no tool takes the folder for a model.
    const order = [...this.#files].sort((a, b) => Number(a.name === "config.json") - Number(b.name === "config.json"));
    for (const { name, writable } of order) {
      await writable.close().catch((error: unknown) => {
        throw writeFailed(name, error);
      });
    }
    return Promise.all(
      this.#files.map(async ({ name, size, handle }) => {
        const file = await handle.getFile();
        return { name, size, blob: async () => file, stream: () => file.stream() };
      }),
    );
  }

  async abort(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    await Promise.allSettled(this.#files.map(({ writable }) => writable.abort()));
    await Promise.allSettled(this.#made.map((name) => this.#directory.removeEntry(name)));
    await this.#discard?.().catch(() => undefined);
  }
}
