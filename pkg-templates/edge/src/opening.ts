/** Milliseconds between two looks of those who wait for another's work, and between two signs of life of whoever does it. */
const [LOOK, SIGN] = [25, 100];

/** Looks without a sign of life after which whoever did the work counts as gone: runtimes drop the work of a client that left without a word. */
const LOST = 80;

/** Work that a request does, as others see it. */
interface Work {
  signs: number;
  over: boolean;
  /** What it threw, in plain words: in workerd an error may hold what belongs to its request. */
  failed?: { code: string | undefined; message: string };
}

/** What ended the work of another request, for those who waited for it. */
class Failed extends Error {
  readonly code: string | undefined;

  constructor({ code, message }: { code: string | undefined; message: string }) {
    super(message);
    this.code = code;
  }
}

/**
 * Lets one request do for all what all of them want. The others look again by timers of their own, rather than wait for its promise: in workerd
 * one request must not await what another one reads.
 */
export class Opening<T> {
  readonly #work = new Map<string, Work>();

  /** What `found` gives, as soon as it does: by `open`, which only one request at a time is in. What fails fails for those who waited, not for later ones. */
  async once(key: string, found: () => T | undefined, open: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (;;) {
      const known = found();
      if (known !== undefined) return known;
      const other = this.#work.get(key);
      if (!other) return this.#lead(key, open, signal);
      await ended(other);
      if (other.failed) throw new Failed(other.failed);
      // Gone, and nobody else's yet.
      if (!other.over && this.#work.get(key) === other) this.#work.delete(key);
      signal.throwIfAborted();
    }
  }

  async #lead(key: string, open: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const work: Work = { signs: 0, over: false };
    this.#work.set(key, work);
    const signs = setInterval(() => work.signs++, SIGN);
    const leave = () => {
      clearInterval(signs);
      work.over = true;
      if (this.#work.get(key) === work) this.#work.delete(key);
    };
    // The runtime may never come back to the work of a client that has gone, but says so.
    signal.addEventListener("abort", leave, { once: true });
    try {
      return await open();
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (!signal.aborted) work.failed = { code, message };
      throw error;
    } finally {
      signal.removeEventListener("abort", leave);
      leave();
    }
  }
}

/** Looks are counted, not milliseconds: while an isolate is busy nobody gives a sign, and nobody looks. */
async function ended(work: Work): Promise<void> {
  for (let last = work.signs, looks = 0; !work.over && looks < LOST; looks++) {
    await new Promise((resolve) => setTimeout(resolve, LOOK));
    if (work.signs !== last) [last, looks] = [work.signs, 0];
  }
}
