import { throwIfAborted } from "../errors.js";

/** Milliseconds after which a turn counts as lost: edge runtimes drop the work of a client that went away without a word. */
const LOST = 30_000;

/** Lets only so many do something at a time: each block of bytes that is read and computed needs memory and a connection. */
export class Turns {
  readonly #most: number;
  /** When each turn that is under way began. */
  readonly #running = new Set<{ began: number }>();
  #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Do `work` when it is its turn. */
  async take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    throwIfAborted(signal);
    while (this.#full()) await this.#change();
    const turn = { began: Date.now() };
    this.#running.add(turn);
    try {
      throwIfAborted(signal);
      return await work();
    } finally {
      this.#running.delete(turn);
      // All of them: one that was woken alone could be one whose client went away.
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  #full(): boolean {
    for (const turn of this.#running) if (Date.now() - turn.began > LOST) this.#running.delete(turn);
    return this.#running.size >= this.#most;
  }

  /** Somebody has finished, or it is time to look for lost turns. */
  #change(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LOST / 10);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
