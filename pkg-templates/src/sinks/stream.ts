import { aborted, optionError } from "../errors.js";
import type { MergedFile } from "../types.js";
import { type PlannedFile, type Sink, writeFailed } from "./sink.js";

type Factory = (file: PlannedFile) => WritableStream<Uint8Array> | Promise<WritableStream<Uint8Array>>;

/**
 * Writes every file from beginning to end into a stream of the caller's. A worker whose bytes are not next waits, so
 * that no more than one block for each worker is held.
 */
export class StreamSink implements Sink {
  readonly #factory: Factory;
  #files: PlannedFile[] = [];
  #file = 0;
  #at = 0;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #waiting: { file: number; at: number; go: () => void; stop: (error: unknown) => void }[] = [];
  #failure: unknown;

  constructor(factory: Factory) {
    this.#factory = factory;
  }

  async open(files: PlannedFile[]): Promise<void> {
    this.#files = files;
    try {
      await this.#next();
    } catch (error) {
      throw writeFailed(this.#files[this.#file]?.name ?? "output", error);
    }
  }

  async write(file: number, at: number, bytes: Uint8Array<ArrayBuffer> | Blob): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (file !== this.#file || at !== this.#at) {
      await new Promise<void>((go, stop) => this.#waiting.push({ file, at, go, stop }));
    }
    const { name, size } = this.#files[file]!;
    try {
      if (bytes instanceof Blob) {
        for await (const chunk of bytes.stream() as unknown as AsyncIterable<Uint8Array>) await this.#writer!.write(chunk);
        this.#at += bytes.size;
      } else {
        await this.#writer!.write(bytes);
        this.#at += bytes.length;
      }
      if (this.#at === size) {
        this.#file++;
        await this.#next();
      }
    } catch (error) {
      this.#stop(writeFailed(name, error));
      throw this.#failure;
    }
    this.#wake();
  }

  async finish(): Promise<MergedFile[]> {
    const gone = () => {
      throw optionError("output", "it was written to a stream, so its bytes are wherever the stream put them");
    };
    return this.#files.map((file) => ({ ...file, blob: async () => gone(), stream: gone }));
  }

  async abort(): Promise<void> {
    this.#stop(aborted());
    // Not waited for: a stream that is stuck in a write never ends.
    this.#writer?.abort().catch(() => undefined);
  }

  /** Close the stream that is full and open the next; empty files pass at once. */
  async #next(): Promise<void> {
    this.#at = 0;
    for (;;) {
      await this.#writer?.close();
      this.#writer = undefined;
      const file = this.#files[this.#file];
      if (!file) return;
      const stream: Partial<WritableStream<Uint8Array>> | undefined = await this.#factory({ name: file.name, size: file.size });
      if (typeof stream?.getWriter !== "function") throw optionError("output", "it gave no WritableStream", { fix: "of a stream of Node give Writable.toWeb(stream)" });
      const writer = (stream as WritableStream<Uint8Array>).getWriter();
      if (this.#failure) {
        writer.abort().catch(() => undefined);
        throw this.#failure;
      }
      this.#writer = writer;
      if (file.size > 0) return;
      this.#file++;
    }
  }

  #wake(): void {
    const next = this.#waiting.findIndex(({ file, at }) => file === this.#file && at === this.#at);
    if (next >= 0) this.#waiting.splice(next, 1)[0]!.go();
  }

  #stop(error: unknown): void {
    this.#failure = error;
    for (const { stop } of this.#waiting.splice(0)) stop(error);
  }
}
