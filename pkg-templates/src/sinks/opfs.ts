import { aborted, fromPlain, optionError, scriptFailed } from "../errors.js";
import { pause } from "../pause.js";
import type { Platform } from "../platform.js";
import type { MergedFile } from "../types.js";
import type { Target } from "../workers/protocol.js";
import type { FromWriter, ToWriter } from "../workers/opfs-protocol.js";
import { DirectorySink } from "./directory.js";
import { type PlannedFile, type Sink, writeFailed } from "./sink.js";

/** Where merged models are in the private file system, each in a folder of its own. */
const FOLDER = "lorafold";

/** The sink of the private file system: a worker writes it where there is one, otherwise streams do. */
export async function openPrivateFileSystem({ startWriter }: Pick<Platform, "startWriter">): Promise<Sink> {
  if (!globalThis.navigator?.storage?.getDirectory) {
    throw optionError("output", "this platform has no private file system");
  }
  const name = crypto.randomUUID();
  const { parent, directory } = await makeFolder(name).catch(failed);
  const discard = () => remove(parent, name);
  try {
    const worker = startWriter?.();
    return worker ? new OpfsSink(worker, directory, [FOLDER, name], discard) : new DirectorySink(directory, true, discard);
  } catch (error) {
    await discard().catch(() => undefined);
    throw error;
  }
}

async function makeFolder(name: string): Promise<{ parent: FileSystemDirectoryHandle; directory: FileSystemDirectoryHandle }> {
  const root = await navigator.storage.getDirectory();
  const parent = await root.getDirectoryHandle(FOLDER, { create: true });
  return { parent, directory: await parent.getDirectoryHandle(name, { create: true }) };
}

/** Rethrow an error that is not about one file. */
function failed(error: unknown): never {
  throw writeFailed("the private file system", error);
}

/** How often, and after how many milliseconds, a folder that is still locked is tried again. */
const [TRIES, PAUSE] = [1000, 10];
/** Milliseconds that `abort` waits for the folder to be removed; the rest happens in the background. */
const PATIENCE = 150;

/** Remove a folder. A worker that was ended keeps its locks until its computation ends, in Chromium for up to two seconds. */
async function remove(parent: FileSystemDirectoryHandle, name: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await parent.removeEntry(name, { recursive: true });
    } catch (error) {
      if (tries === TRIES || (error as Error).name === "NotFoundError") throw error;
      await pause(PAUSE);
    }
  }
}

/** Writes the private file system. Where workers can share files, each writes its own blocks; elsewhere one worker writes for all. */
class OpfsSink implements Sink {
  readonly #worker: Worker;
  readonly #directory: FileSystemDirectoryHandle;
  readonly #path: string[];
  readonly #discard: () => Promise<void>;
  readonly #waiting = new Map<number, { resolve: (shared: boolean) => void; reject: (error: unknown) => void }>();
  #files: PlannedFile[] = [];
  #shared = false;
  #next = 0;

  constructor(worker: Worker, directory: FileSystemDirectoryHandle, path: string[], discard: () => Promise<void>) {
    this.#worker = worker;
    this.#directory = directory;
    this.#path = path;
    this.#discard = discard;
    worker.addEventListener("message", ({ data }: MessageEvent<FromWriter>) => this.#receive(data));
    worker.addEventListener("error", (event) => this.#fail(scriptFailed(event)));
  }

  async open(files: PlannedFile[]): Promise<void> {
    this.#files = files;
    this.#shared = await this.#ask({ type: "open", path: this.#path, files: files.map((file) => file.name) }).catch(failed);
  }

  target(file: number, at: number): Target | undefined {
    return this.#shared ? { path: [...this.#path, this.#files[file]!.name].join("/"), at } : undefined;
  }

  async write(file: number, at: number, bytes: Uint8Array<ArrayBuffer> | Blob): Promise<void> {
    // Transferring a view would transfer its whole buffer.
    const whole = bytes instanceof Blob || bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
    const data = whole instanceof Blob ? whole : whole.buffer;
    try {
      await this.#ask({ type: "write", file, at, bytes: data }, data instanceof Blob ? [] : [data]);
    } catch (error) {
      throw writeFailed(this.#files[file]!.name, error);
    }
  }

  async finish(): Promise<MergedFile[]> {
    await this.#ask({ type: "close" }).catch(failed);
    this.#worker.terminate();
    return Promise.all(
      this.#files.map(async ({ name, size }) => {
        const file = await (await this.#directory.getFileHandle(name)).getFile();
        return { name, size, blob: async () => file, stream: () => file.stream() };
      }),
    );
  }

  async abort(): Promise<void> {
    // The locks on its files go with the worker.
    this.#worker.terminate();
    this.#fail(aborted());
    const discarded = this.#discard().catch(() => undefined);
    await Promise.race([discarded, pause(PATIENCE)]);
  }

  #ask(message: ToWriter extends infer M ? (M extends { id: number } ? Omit<M, "id"> : never) : never, transfer: ArrayBuffer[] = []): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...message, id }, transfer);
    });
  }

  #receive({ id, error, shared = false }: FromWriter): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(fromPlain(error));
    else waiting?.resolve(shared);
  }

  #fail(error: unknown): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
