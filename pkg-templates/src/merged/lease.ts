import { throwIfAborted } from "../errors.js";
import type { ByteReader } from "../sources/reader.js";
import type { Rest } from "../sources/request.js";
import type { Turn, Turns } from "./turns.js";

/** Milliseconds between two looks of a reader that nobody reads on at whether somebody waits for its turn. */
const LOOK = 25;

/** Bytes after which a reader lets those go first who wait. */
const SHARE = 16 << 20;

/**
 * A reader of a run of the base and its turn, which it keeps while it holds a connection: there are never more connections than turns. Whoever
 * waits gets the turn of a reader that nobody reads on, or that has had its share; that one goes on later, by a request for the rest.
 */
export class Lease {
  readonly #turns: Turns;
  readonly #reader: ByteReader;
  readonly #signal: AbortSignal | undefined;
  #turn: Turn | undefined;
  /** Bytes read since the turn began. */
  #bytes = 0;
  #look: ReturnType<typeof setTimeout> | undefined;

  /** `open` gives the reader. While its server wants to be left alone the turn is another's. */
  constructor(turns: Turns, open: (rest: Rest) => ByteReader, signal?: AbortSignal) {
    this.#turns = turns;
    this.#signal = signal;
    this.#reader = open(async (wait) => {
      this.#endTurn();
      await wait();
      this.#turn = await turns.begin(signal);
    });
  }

  /** Do `work`, which takes `bytes` from the reader, when it is its turn. */
  async take<T>(bytes: number, work: (reader: ByteReader) => Promise<T>): Promise<T> {
    clearTimeout(this.#look);
    throwIfAborted(this.#signal);
    if (this.#bytes >= SHARE && this.#turns.wanted) {
      this.end();
      await this.#turns.giveWay();
    }
    this.#turn ??= await this.#turns.begin(this.#signal);
    this.#bytes += bytes;
    try {
      return await work(this.#reader);
    } finally {
      if (this.#reader.connected) this.#watch();
      else this.end();
    }
  }

  /** Give the turn back, and the connection with it. */
  end(): void {
    clearTimeout(this.#look);
    this.#reader.cancel();
    this.#endTurn();
  }

  #endTurn(): void {
    this.#turn?.end();
    this.#turn = undefined;
    this.#bytes = 0;
  }

  #watch(): void {
    this.#look = setTimeout(() => {
      if (this.#turns.wanted || this.#signal?.aborted) return this.end();
      this.#watch();
    }, LOOK);
    // In Node: a stream that was forgotten does not keep the program from its end.
    if (typeof this.#look === "object") this.#look.unref();
  }
}
