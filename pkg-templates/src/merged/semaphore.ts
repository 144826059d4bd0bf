import { throwIfAborted } from "../errors.js";
import { pause, unref } from "../pause.js";

/** Milliseconds after which a permit counts as abandoned: edge runtimes drop the work of a client that disconnects, without a call of ours. */
const ABANDONED_AFTER = 30_000;

/** Milliseconds between two renewals of a permit. They stop when the runtime drops its holder. */
const RENEWAL = ABANDONED_AFTER / 5;

/** Milliseconds between two checks for a free permit: at first, and at most. */
const [FIRST_CHECK, LONGEST_CHECK] = [1, 16];

/** Milliseconds within which everyone who waits has checked again, even with late timers. */
const ALL_CHECKED = 4 * LONGEST_CHECK;

/** The right to go on, until it is released. */
export interface Permit {
  /** Further calls do nothing. */
  release(): void;
}

/**
 * A semaphore: limits how many run at a time, because each needs memory and a connection.
 *
 * Waiters poll with their own timers instead of being woken by whoever releases: workerd gives each request a context of its own, and a promise that
 * another request resolves would go on in the wrong one.
 */
export class Semaphore {
  readonly #limit: number;
  /** The permits that are held, and when each was last renewed. */
  readonly #held = new Set<{ renewedAt: number }>();
  /** When someone last found no free permit. */
  #waitedAt = Number.NEGATIVE_INFINITY;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Run `work` while holding a permit. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const permit = await this.acquire(signal);
    try {
      return await work();
    } finally {
      permit.release();
    }
  }

  /**
   * Wait for a permit. When the signal aborts, it is released.
   *
   * @throws {LorafoldError} `aborted`.
   */
  async acquire(signal?: AbortSignal): Promise<Permit> {
    throwIfAborted(signal);
    for (let wait = FIRST_CHECK; this.#full(); wait = Math.min(2 * wait, LONGEST_CHECK)) {
      this.#waitedAt = Date.now();
      await pause(wait);
      throwIfAborted(signal);
    }
    const permit = { renewedAt: Date.now() };
    this.#held.add(permit);
    // A timer of the holder: an edge runtime that drops the holder's work drops its timers, too.
    const renewals = setInterval(() => {
      permit.renewedAt = Date.now();
      this.#held.add(permit);
    }, RENEWAL);
    // In Node: a permit that was never released does not keep the process alive.
    unref(renewals);
    const release = () => {
      clearInterval(renewals);
      signal?.removeEventListener("abort", release);
      this.#held.delete(permit);
    };
    // An edge runtime may never resume the work of a client that disconnected, but it does abort the signal.
    signal?.addEventListener("abort", release, { once: true });
    return { release };
  }

  /** Whether someone is waiting. */
  get contended(): boolean {
    return Date.now() - this.#waitedAt < ALL_CHECKED;
  }

  /** Wait long enough for those who are waiting to go first. */
  letOthersGo(): Promise<void> {
    return pause(2 * LONGEST_CHECK);
  }

  #full(): boolean {
    for (const permit of this.#held) if (Date.now() - permit.renewedAt > ABANDONED_AFTER) this.#held.delete(permit);
    return this.#held.size >= this.#limit;
  }
}
