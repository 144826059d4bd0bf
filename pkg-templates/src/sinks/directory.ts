import { optionError } from "../errors.js";
import type { MergedFile } from "../types.js";
import { type PlannedFile, type Sink, writeFailed } from "./sink.js";
import { ADAPTER, REPLACES, inNamingOrder, isWeights, standing, weightsOfModel } from "./model-files.js";

interface OpenFile extends PlannedFile {
  handle: FileSystemFileHandle;
  writable: FileSystemWritableFileStream;
}

/** Writes into a directory handle, through its writable streams. */
export class DirectorySink implements Sink {
  readonly #directory: FileSystemDirectoryHandle;
  readonly #force: boolean;
  /** Removes the directory itself; given where it was made for this merge. */
  readonly #discard: (() => Promise<void>) | undefined;
  /** Names of files that did not exist before. */
  readonly #made = new Set<string>();
  /** Weights of the model that is replaced. */
  #stale: string[] = [];
  /** Configuration and index of the old model, which are emptied while its weights are replaced; with their content. */
  readonly #emptied: { handle: FileSystemFileHandle; bytes: ArrayBuffer }[] = [];
  /** Whether a file of the old model was replaced or removed. */
  #replaced = false;
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
    await named(this.#directory.name, async () => {
      for await (const name of this.#directory.keys()) there.add(name);
    });
    const inTheWay = [...there].find((name) => planned.has(name) || isWeights(name) || name === ADAPTER);
    if (inTheWay !== undefined && !this.#force) {
      throw optionError("output", `${inTheWay} is already in the folder`, { kind: "output-not-empty", file: this.#directory.name, found: inTheWay, fix: REPLACES });
    }
    const weights = await weightsOfModel([...there], async (name) => (await (await this.#directory.getFileHandle(name)).getFile()).text());
    this.#stale = weights.filter((name) => !planned.has(name));
    for (const file of files) {
      await named(file.name, async () => {
        if (!there.has(file.name)) this.#made.add(file.name);
        const handle = await this.#directory.getFileHandle(file.name, { create: true });
        // The bytes appear in the folder only when the stream is closed.
        this.#files.push({ ...file, handle, writable: await handle.createWritable() });
      });
    }
  }

  write(file: number, at: number, bytes: Uint8Array<ArrayBuffer> | Blob): Promise<void> {
    const { name, writable } = this.#files[file]!;
    return named(name, () => writable.write({ type: "write", position: at, data: bytes }));
  }

  /**
   * Configuration and index are never beside weights of two models: without them no tool takes the folder for a model. Files that the
   * old model lacks are closed first, because they can still be removed after a failure.
   */
  async finish(): Promise<MergedFile[]> {
    const [describing, content] = [true, false].map((wanted) => this.#files.filter(({ name }) => standing(name) > 0 === wanted));
    const isNew = ({ name }: OpenFile) => this.#made.has(name);
    await close(content!.filter(isNew));
    const replaced = content!.filter((file) => !isNew(file));
    for (const name of this.#stale) if (standing(name) > 0) await this.#empty(name);
    for (const file of describing!) if (!isNew(file)) await this.#empty(file.name);
    for (const file of replaced) {
      await close([file]);
      this.#replaced = true;
    }
    for (const name of this.#stale) {
      await named(name, () => this.#directory.removeEntry(name));
      this.#replaced = true;
    }
    await close(inNamingOrder(describing!));
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
    await Promise.allSettled([...this.#made].map((name) => this.#directory.removeEntry(name)));
    // Restored only beside the old weights: beside weights of two models they would make the folder look like one model.
    if (!this.#replaced) await Promise.allSettled(this.#emptied.map(({ handle, bytes }) => overwrite(handle, bytes)));
    await this.#discard?.().catch(() => undefined);
  }

  /** Empty a file instead of removing it: a file with an open stream cannot be removed. */
  #empty(name: string): Promise<void> {
    return named(name, async () => {
      const handle = await this.#directory.getFileHandle(name);
      const bytes = await (await handle.getFile()).arrayBuffer();
      this.#emptied.push({ handle, bytes });
      await overwrite(handle, new ArrayBuffer(0));
    });
  }
}

async function close(files: readonly OpenFile[]): Promise<void> {
  for (const { name, writable } of files) await named(name, () => writable.close());
}

async function overwrite(handle: FileSystemFileHandle, bytes: ArrayBuffer): Promise<void> {
  const writable = await handle.createWritable();
  await writable.write(bytes);
  await writable.close();
}

/** Run `act`; what the platform throws becomes an error about that file or folder. */
function named<T>(name: string, act: () => Promise<T>): Promise<T> {
  return act().catch((error: unknown) => {
    throw writeFailed(name, error);
  });
}
