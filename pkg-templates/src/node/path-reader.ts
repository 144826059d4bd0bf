import { type FileHandle, open } from "node:fs/promises";
import { fileError, LorafoldError, platformFacts, thrown } from "../errors.js";
import type { ByteReader } from "../sources/reader.js";
import { changed, versionOf } from "./source.js";

/** Reads a run of a file asynchronously. */
export class PathReader implements ByteReader {
  readonly #path: string;
  readonly #version: string | undefined;
  #at: number;
  #handle: FileHandle | undefined;

  constructor(path: string, version: string | undefined, start: number) {
    this.#path = path;
    this.#version = version;
    this.#at = start;
  }

  async take(bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const whole = new Uint8Array(bytes);
    try {
      this.#handle ??= await open(this.#path);
      for (let filled = 0; filled < bytes; ) {
        const { bytesRead } = await this.#handle.read(whole, filled, bytes - filled, this.#at);
        if (bytesRead === 0) throw fileError("source-changed", this.#path, `it ends before byte ${this.#at + bytes - filled}`);
        filled += bytesRead;
        this.#at += bytesRead;
      }
      // Checked after the bytes were read: later changes do not matter to them.
      if (this.#version !== undefined && versionOf(await this.#handle.stat()) !== this.#version) throw changed(this.#path);
      return whole;
    } catch (error) {
      this.cancel();
      if (error instanceof LorafoldError) throw error;
      throw fileError("fetch-failed", this.#path, thrown(error).message, platformFacts(error));
    }
  }

  cancel(): void {
    this.#handle?.close().catch(() => undefined);
    this.#handle = undefined;
  }
}
