import type { MergedFile } from "../types.js";
import type { PlannedFile, Sink } from "./sink.js";

/** Keeps every file as a Blob; parts that are slices of input files stay where they are. */
export class BlobSink implements Sink {
  readonly keepsBlobs = true;
  #files: (PlannedFile & { parts: { at: number; blob: Blob }[] })[] = [];

  async open(files: PlannedFile[]): Promise<void> {
    this.#files = files.map((file) => ({ ...file, parts: [] }));
  }

  async write(file: number, at: number, bytes: Uint8Array<ArrayBuffer> | Blob): Promise<void> {
    // A Blob of its own at once: browsers keep large ones outside the page's memory.
    const blob = bytes instanceof Blob ? bytes : new Blob([bytes]);
    this.#files[file]!.parts.push({ at, blob });
  }

  async finish(): Promise<MergedFile[]> {
    return this.#files.map(({ name, size, parts }) => {
      parts.sort((a, b) => a.at - b.at);
      const type = name.endsWith(".json") ? "application/json" : "application/octet-stream";
      const blob = new Blob(parts.map((part) => part.blob), { type });
      return { name, size, blob: async () => blob, stream: () => blob.stream() };
    });
  }

  async abort(): Promise<void> {
    this.#files = [];
  }
}
