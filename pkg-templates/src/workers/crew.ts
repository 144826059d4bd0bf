import type { Engine } from "../engine.js";
import { platform } from "../platform.js";
import { bind } from "../sources/bind.js";
import type { Input } from "../sources/listing.js";
import { PoolWorker } from "./pool.js";
import type { Job } from "./protocol.js";
import { JobRunner, type JobResult } from "./runner.js";

/** Something that does jobs, one after another. */
interface Hand {
  run(job: Job): Promise<JobResult>;
  stop(reason: unknown): void;
}

/** Does a job on some worker. */
export type Work = (job: Job) => Promise<JobResult>;

/** Tasks that one worker has at once: while it computes one, another's bytes are on their way. */
const IN_FLIGHT = 2;

/** Milliseconds that the calling thread works before it lets its events (timers, signals, clicks) have their turn. */
const TURN = 30;

/** The workers of one merge, or the calling thread where there are none. */
export class Crew {
  readonly #hands: Hand[];
  readonly #inThisThread: boolean = false;
  #turnBegan = performance.now();
  #stopped = false;

  constructor(engine: Engine, inputs: Input[], workers: number | undefined, allowNonfinite: boolean) {
    const { startWorker, processors, bindInput, writer } = platform();
    const size = startWorker ? (workers ?? Math.max(1, Math.min(processors(), 8))) : 0;
    if (startWorker && size > 0) {
      this.#hands = Array.from({ length: size }, () => new PoolWorker(startWorker(), engine.module, inputs, allowNonfinite));
    } else {
      this.#inThisThread = true;
      const bound = inputs.map((input) => bind(input, bindInput));
      const runner = new JobRunner(engine.memory, bound, allowNonfinite, writer);
      // A job that runs cannot be stopped here; its memory is given back once it ends.
      const stop = async () => {
        await runner.idle();
        runner.free();
        for (const input of bound) input.close?.();
      };
      this.#hands = [{ run: (job) => runner.run(job), stop: () => void stop() }];
    }
  }

  /** Let every worker take the next task until none is left, or one fails. */
  async share<T>(tasks: Iterator<T>, perform: (task: T, work: Work) => Promise<void>): Promise<void> {
    const loop = async (hand: Hand) => {
      while (!this.#stopped) {
        const { done, value } = tasks.next();
        if (done) return;
        await perform(value, (job) => hand.run(job));
        if (this.#inThisThread && performance.now() - this.#turnBegan > TURN) await this.#giveTurn();
      }
    };
    await Promise.all(this.#hands.flatMap((hand) => Array.from({ length: IN_FLIGHT }, () => loop(hand))));
  }

  /** Files are read and written without waiting, so that events would not come before the end. */
  async #giveTurn(): Promise<void> {
    // In Node a timer that is due at once runs before signals are looked at.
    await new Promise((resolve) => (globalThis.setImmediate ?? setTimeout)(resolve, 0));
    this.#turnBegan = performance.now();
  }

  /** Stop at once; what is running fails with `reason`. */
  stop(reason: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const hand of this.#hands) hand.stop(reason);
  }
}
