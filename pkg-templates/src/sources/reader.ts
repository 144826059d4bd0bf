import { fileError } from "../errors.js";
import { ChunkReader } from "./chunks.js";

/** Reads a run of bytes from its beginning to its end. */
export interface ByteReader {
  /** The next bytes, exactly as many. */
  take(bytes: number): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Give up the connection, until the next `take` opens one for the bytes that follow. While a `take` is under way, only call this when nobody
   * waits for its result any more.
   */
  cancel(): void;
  /** Whether it holds a connection. */
  readonly connected?: boolean;
}

/** Takes exact counts out of a stream of chunks of any size. */
export class StreamReader {
  readonly #chunks: ChunkReader;
  readonly #name: string;
  #chunk = new Uint8Array(0);
  /** Bytes taken so far. */
  taken = 0;

  /** Reads fail when nothing comes for `stallTimeout` milliseconds, where that is given. */
  constructor(name: string, stream: ReadableStream<Uint8Array>, stallTimeout?: number) {
    this.#name = name;
    this.#chunks = new ChunkReader(stream, stallTimeout);
  }

  async take(bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const whole = new Uint8Array(bytes);
    await this.fill(whole, 0);
    return whole;
  }

  /** Fill `whole` from `filled` on. After a failure `taken` says how many bytes had come. */
  async fill(whole: Uint8Array, filled: number): Promise<void> {
    while (filled < whole.length) {
      if (this.#chunk.length === 0) {
        const chunk = await this.#chunks.read();
        if (!chunk) throw fileError("source-changed", this.#name, `it ended ${whole.length - filled} bytes too early`);
        this.#chunk = chunk;
      }
      const part = this.#chunk.subarray(0, whole.length - filled);
      whole.set(part, filled);
      this.#chunk = this.#chunk.subarray(part.length);
      filled += part.length;
      this.taken += part.length;
    }
  }

  /** Whether bytes have come that were not taken. */
  get overfull(): boolean {
    return this.#chunk.length > 0;
  }

  /** Read bytes and drop them. */
  async skip(bytes: number): Promise<void> {
    const step = 1 << 20;
    for (let left = bytes; left > 0; left -= step) await this.take(Math.min(step, left));
  }

  cancel(): void {
    this.#chunks.cancel().catch(() => undefined);
  }
}

/** Reads a run through a stream. After `cancel`, the next `take` opens another one. */
export class ReopeningReader implements ByteReader {
  readonly #name: string;
  readonly #open: (start: number, end: number) => ReadableStream<Uint8Array>;
  readonly #end: number;
  #at: number;
  #stream: StreamReader | undefined;

  constructor(name: string, start: number, end: number, open: (start: number, end: number) => ReadableStream<Uint8Array>) {
    this.#name = name;
    this.#at = start;
    this.#end = end;
    this.#open = open;
  }

  async take(bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#stream ??= new StreamReader(this.#name, this.#open(this.#at, this.#end));
    const part = await this.#stream.take(bytes);
    this.#at += bytes;
    return part;
  }

  get connected(): boolean {
    return this.#stream !== undefined && this.#at < this.#end;
  }

  cancel(): void {
    this.#stream?.cancel();
    this.#stream = undefined;
  }
}

/** Reads a run of an input with random access, one read for each `take`. */
export class RandomReader implements ByteReader {
  readonly #name: string;
  readonly #read: (start: number, end: number) => Promise<Uint8Array>;
  #at: number;

  constructor(name: string, start: number, read: (start: number, end: number) => Promise<Uint8Array>) {
    this.#name = name;
    this.#at = start;
    this.#read = read;
  }

  async take(bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const start = this.#at;
    this.#at += bytes;
    const part = (await this.#read(start, start + bytes)) as Uint8Array<ArrayBuffer>;
    if (part.length !== bytes) {
      throw fileError("source-changed", this.#name, `${part.length} bytes came where ${bytes} were asked for`, { found: String(part.length), expected: String(bytes) });
    }
    return part;
  }

  cancel(): void {}
}
