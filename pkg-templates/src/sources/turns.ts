/** Requests that the listings of one call, or one merged model, have under way at a time: platforms at the edge allow six. */
export const MAX_REQUESTS = 4;

/** Lets at most a few works run at a time, in the order in which they were given. Once one has failed, none begins any more. */
export class Turns {
  #free: number;
  readonly #waiting: { begin: () => void; refuse: (reason: unknown) => void }[] = [];
  #stopped: { reason: unknown } | undefined;

  constructor(most = MAX_REQUESTS) {
    this.#free = most;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    this.throwIfStopped();
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((begin, refuse) => this.#waiting.push({ begin, refuse }));
    try {
      return await work();
    } catch (reason) {
      this.stop(reason);
      throw reason;
    } finally {
      const next = this.#waiting.shift();
      if (next) next.begin();
      else this.#free++;
    }
  }

  /** `work` for every item. The results have the order of the items. */
  all<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
    return Promise.all(items.map((item) => this.run(() => work(item))));
  }

  /** Begin nothing any more. What waits, and works that ask, fail with `reason`, unless there is one already. */
  stop(reason: unknown): void {
    this.#stopped ??= { reason };
    for (const { refuse } of this.#waiting.splice(0)) refuse(reason);
  }

  /** Long works ask from time to time whether they are still wanted. */
  throwIfStopped(): void {
    if (this.#stopped) throw this.#stopped.reason;
  }
}
