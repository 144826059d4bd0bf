import { unlessStalled } from "./stall.js";

/**
 * Bytes that a read asks for where the stream fills buffers of its reader: at first, and once as many have come. workerd gives readers
 * without a buffer 4 KiB at a time.
 */
const [FIRST_BUFFER, BUFFER] = [64 << 10, 256 << 10];

type AnyReader = ReadableStreamDefaultReader<Uint8Array> | ReadableStreamBYOBReader;

/** Reads a stream chunk by chunk, in large chunks where it can. */
export class ChunkReader {
  readonly #reader: AnyReader;
  readonly #stallTimeout: number | undefined;
  /** What the stream fills next; nothing where it gives chunks of its own. */
  #buffer: ArrayBuffer | undefined;

  /** Reads fail when nothing comes for `stallTimeout` milliseconds, where that is given. */
  constructor(stream: ReadableStream<Uint8Array>, stallTimeout?: number) {
    this.#stallTimeout = stallTimeout;
    try {
      this.#reader = stream.getReader({ mode: "byob" });
      this.#buffer = new ArrayBuffer(FIRST_BUFFER);
    } catch {
      // It is no stream of bytes.
      this.#reader = stream.getReader();
    }
  }

  /** The next bytes, which the next read may overwrite, or nothing at the end. */
  async read(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const coming = this.#next();
    const { done, value } = await (this.#stallTimeout === undefined ? coming : unlessStalled(coming, this.#stallTimeout, () => void this.cancel().catch(() => undefined)));
    if (this.#buffer && value) this.#buffer = value.length < FIRST_BUFFER ? (value.buffer as ArrayBuffer) : grown(value.buffer as ArrayBuffer);
    return done ? undefined : (value as Uint8Array<ArrayBuffer>);
  }

  #next(): Promise<ReadableStreamReadResult<Uint8Array>> {
    if (!this.#buffer) return (this.#reader as ReadableStreamDefaultReader<Uint8Array>).read();
    // The read takes the buffer away and gives it back with its chunk.
    return (this.#reader as ReadableStreamBYOBReader).read(new Uint8Array(this.#buffer));
  }

  cancel(reason?: unknown): Promise<void> {
    return this.#reader.cancel(reason);
  }
}

const grown = (buffer: ArrayBuffer) => (buffer.byteLength < BUFFER ? new ArrayBuffer(BUFFER) : buffer);

/** The same bytes, as a stream that fails when none come for `stallTimeout` milliseconds. */
export function unlessStalledBody(body: ReadableStream<Uint8Array>, stallTimeout: number): ReadableStream<Uint8Array> {
  const reader = new ChunkReader(body, stallTimeout);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const chunk = await reader.read();
        if (chunk) controller.enqueue(chunk.slice());
        else controller.close();
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
