import { LorafoldError } from "../errors.js";
import { unlessSilent } from "./silence.js";

/** Reads a run of bytes from its beginning to its end. */
export interface ByteReader {
  /** The next bytes, exactly as many. */
  take(bytes: number): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Nothing more is wanted for now: what it holds is given up, and had again for the bytes that follow. While bytes are being taken only where
   * nobody waits for them any more.
   */
  cancel(): void;
  /** Whether it holds a connection. */
  readonly connected?: boolean;
}

/** Takes exact counts out of a stream of chunks of any size. */
export class StreamReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #name: string;
  readonly #ofServer: boolean;
  #chunk = new Uint8Array(0);
  /** Bytes taken so far. */
  taken = 0;

  /** `ofServer`: it fails where nothing comes for too long. */
  constructor(name: string, stream: ReadableStream<Uint8Array>, ofServer = false) {
    this.#name = name;
    this.#ofServer = ofServer;
    this.#reader = stream.getReader();
  }

  async take(bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const whole = new Uint8Array(bytes);
    await this.fill(whole, 0);
    return whole;
  }

  /** Fill `whole` from `filled` on. Where that fails, `taken` tells how far it came. */
  async fill(whole: Uint8Array, filled: number): Promise<void> {
    while (filled < whole.length) {
      if (this.#chunk.length === 0) {
        const coming = this.#reader.read();
        const { done, value } = await (this.#ofServer ? unlessSilent(coming, () => this.cancel()) : coming);
        if (done) throw new LorafoldError("source-changed", `${this.#name}: it ended ${whole.length - filled} bytes too early`);
        this.#chunk = value as Uint8Array<ArrayBuffer>;
      }
      const part = this.#chunk.subarray(0, whole.length - filled);
      whole.set(part, filled);
      this.#chunk = this.#chunk.subarray(part.length);
      filled += part.length;
      this.taken += part.length;
    }
  }

  /** Whether more has come than was taken. */
  get overfull(): boolean {
    return this.#chunk.length > 0;
  }

  /** Pass over bytes. */
  async skip(bytes: number): Promise<void> {
    const step = 1 << 20;
    for (let left = bytes; left > 0; left -= step) await this.take(Math.min(step, left));
  }

  cancel(): void {
    this.#reader.cancel().catch(() => undefined);
  }
}

/** Reads a run by a stream, and by another one after it was given up. */
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

/** Reads a run by reads of its parts, of what can be read at any place. */
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
      throw new LorafoldError("source-changed", `${this.#name}: ${part.length} bytes came where ${bytes} were asked for`);
    }
    return part;
  }

  cancel(): void {}
}
