import { throwIfAborted } from "../errors.js";
import { unref } from "../pause.js";
import type { ByteReader } from "../sources/reader.js";
import type { RetryWait } from "../sources/request.js";
import type { Permit, Semaphore } from "./semaphore.js";

/** Milliseconds between two checks of an idle stream whether someone waits for its permit. */
const IDLE_CHECK = 25;

/** Bytes after which a stream lets those who wait go first. */
const FAIR_SHARE = 16 << 20;

/**
 * One stream of a run of the base. It holds a permit while it has a connection, so that there are never more connections than permits. It gives
 * both up when others wait and either its client is not reading or it has had its share; later it continues with a request for the rest.
 */
export class BaseStream {
  readonly #permits: Semaphore;
  readonly #reader: ByteReader;
  readonly #signal: AbortSignal | undefined;
  #permit: Permit | undefined;
  /** Bytes read under this permit. */
  #bytes = 0;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  /** Where the reader is in its file. */
  #at: number;

  /** `open` makes the reader, of bytes from `start` on. While it waits before a retry, others may have the permit. */
  constructor(permits: Semaphore, start: number, open: (retryWait: RetryWait) => ByteReader, signal?: AbortSignal) {
    this.#permits = permits;
    this.#at = start;
    this.#signal = signal;
    this.#reader = open(async (wait) => {
      this.#release();
      await wait();
      this.#permit = await permits.acquire(signal);
    });
  }

  /** Wait for a permit, then do `work`, which takes the bytes `start` up to `start + bytes` from the reader. What is before them is passed over. */
  async take<T>(start: number, bytes: number, work: (reader: ByteReader) => Promise<T>): Promise<T> {
    clearTimeout(this.#idleTimer);
    throwIfAborted(this.#signal);
    if (this.#bytes >= FAIR_SHARE && this.#permits.contended) {
      this.close();
      await this.#permits.letOthersGo();
    }
    this.#permit ??= await this.#permits.acquire(this.#signal);
    this.#bytes += bytes;
    try {
      if (start > this.#at) await this.#reader.take(start - this.#at);
      this.#at = start + bytes;
      return await work(this.#reader);
    } finally {
      if (this.#reader.connected) this.#watchIdle();
      else this.close();
    }
  }

  /** Give up the connection and the permit. A later `take` opens both again. */
  close(): void {
    clearTimeout(this.#idleTimer);
    this.#reader.cancel();
    this.#release();
  }

  #release(): void {
    this.#permit?.release();
    this.#permit = undefined;
    this.#bytes = 0;
  }

  #watchIdle(): void {
    this.#idleTimer = setTimeout(() => {
      if (this.#permits.contended || this.#signal?.aborted) return this.close();
      this.#watchIdle();
    }, IDLE_CHECK);
    // In Node: a stream that nobody reads does not keep the process alive.
    unref(this.#idleTimer);
  }
}
