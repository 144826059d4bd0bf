import { throwIfAborted } from "../errors.js";
import { pause } from "../pause.js";

/** Milliseconds after which a turn counts as lost: edge runtimes drop the work of a client that went away without a word. */
const LOST = 30_000;

/** Milliseconds between two signs of life of whoever has a turn, which end with its work. */
const SIGN = LOST / 5;

/** Milliseconds between two looks at whether there is a turn, at first and at most. */
const [SOON, LATER] = [1, 16];

/** Milliseconds within which everybody who waits has looked, also where timers are late. */
const LOOKED = 4 * LATER;

/** A turn that is under way. */
export interface Turn {
  /** Whoever waits may begin. Once or more often. */
  end(): void;
}

/**
 * Lets only so many do something at a time: each block of bytes that is read and computed needs memory and a connection.
 *
 * Those who wait look again by timers of their own, rather than be woken by whoever has finished: in workerd each request has a context, and
 * what goes on in another's may touch nothing of its own.
 */
export class Turns {
  readonly #most: number;
  /** When each turn that is under way began, or gave a sign of life. */
  readonly #running = new Set<{ since: number }>();
  /** When somebody looked last, and had to wait. */
  #wantedAt = Number.NEGATIVE_INFINITY;

  constructor(most: number) {
    this.#most = most;
  }

  /** Do `work` when it is its turn. */
  async take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const turn = await this.begin(signal);
    try {
      return await work();
    } finally {
      turn.end();
    }
  }

  /** A turn, as soon as there is one. */
  async begin(signal?: AbortSignal): Promise<Turn> {
    throwIfAborted(signal);
    for (let wait = SOON; this.#full(); wait = Math.min(2 * wait, LATER)) {
      this.#wantedAt = Date.now();
      await pause(wait);
      throwIfAborted(signal);
    }
    const turn = { since: Date.now() };
    this.#running.add(turn);
    // A timer of whoever has it: where an edge runtime drops the one, it drops the other.
    const signs = setInterval(() => {
      turn.since = Date.now();
      this.#running.add(turn);
    }, SIGN);
    // In Node: what was forgotten does not keep the program from its end.
    if (typeof signs === "object") (signs as { unref(): void }).unref();
    const end = () => {
      clearInterval(signs);
      signal?.removeEventListener("abort", end);
      this.#running.delete(turn);
    };
    // An edge runtime may never come back to the work of a client that has gone, but says so.
    signal?.addEventListener("abort", end, { once: true });
    return { end };
  }

  /** Whether somebody waits. */
  get wanted(): boolean {
    return Date.now() - this.#wantedAt < LOOKED;
  }

  /** Let those who wait go first. */
  giveWay(): Promise<void> {
    return pause(2 * LATER);
  }

  #full(): boolean {
    for (const turn of this.#running) if (Date.now() - turn.since > LOST) this.#running.delete(turn);
    return this.#running.size >= this.#most;
  }
}
