import { throwIfAborted } from "../errors.js";

/** Milliseconds after which a turn counts as lost: edge runtimes drop the work of a client that went away without a word. */
const LOST = 30_000;

/** Milliseconds between two looks at whether there is a turn, at first and at most. */
const [SOON, LATER] = [1, 16];

/**
 * Lets only so many do something at a time: each block of bytes that is read and computed needs memory and a connection.
 *
 * Those who wait look again by timers of their own, rather than be woken by whoever has finished: in workerd each request has a context, and
 * what goes on in another's may touch nothing of its own.
 */
export class Turns {
  readonly #most: number;
  /** When each turn that is under way began. */
  readonly #running = new Set<{ began: number }>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Do `work` when it is its turn. */
  async take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    throwIfAborted(signal);
    for (let wait = SOON; this.#full(); wait = Math.min(2 * wait, LATER)) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      throwIfAborted(signal);
    }
    const turn = { began: Date.now() };
    this.#running.add(turn);
    const end = () => void this.#running.delete(turn);
    // An edge runtime may never come back to the work of a client that has gone, but says so.
    signal?.addEventListener("abort", end, { once: true });
    try {
      return await work();
    } finally {
      signal?.removeEventListener("abort", end);
      end();
    }
  }

  #full(): boolean {
    for (const turn of this.#running) if (Date.now() - turn.began > LOST) this.#running.delete(turn);
    return this.#running.size >= this.#most;
  }
}
