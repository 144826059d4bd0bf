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
  stop(reason: unknown): void | Promise<void>;
}

/** Does a job on some worker. */
export type Work = (job: Job) => Promise<JobResult>;

/** Tasks that one worker has at once: while it computes one, another's bytes are on their way. */
const IN_FLIGHT = 2;

/** Milliseconds that the calling thread works before it lets its events (timers, signals, clicks) have their turn. */
const TURN = 30;

/** The workers of one merge, or the calling thread where there are none. */
export class Crew {
  readonly #start: () => Hand;
  readonly #size: number;
  readonly #inThisThread: boolean;
  readonly #hands: Hand[] = [];
  #turnBegan = performance.now();
  #stopped = false;

  constructor(engine: Engine, inputs: Input[], workers: number | undefined, allowNonfinite: boolean) {
    const { startWorker, processors, bindInput, writer } = platform();
    const size = startWorker ? (workers ?? Math.max(1, Math.min(processors(), 8))) : 0;
    this.#size = Math.max(1, size);
    this.#inThisThread = size === 0;
    this.#start =
      startWorker && size > 0
        ? () => new PoolWorker(startWorker(), engine.module, inputs, allowNonfinite)
        : () => new JobRunner(engine.memory, inputs.map((input) => bind(input, bindInput)), allowNonfinite, writer);
  }

  /** Let every worker take the next task until none is left, or one fails. */
  async share<T>(tasks: Iterator<T>, perform: (task: T, work: Work) => Promise<void>): Promise<void> {
    const loop = async (hand: number) => {
      while (!this.#stopped) {
        const { done, value } = tasks.next();
        if (done) return;
        await perform(value, (job) => this.#hand(hand).run(job));
        if (this.#inThisThread && performance.now() - this.#turnBegan > TURN) await this.#giveTurn();
      }
    };
    // Every worker its first task, then every worker its second: where there are few, few start.
    await Promise.all(Array.from({ length: IN_FLIGHT * this.#size }, (_, number) => loop(number % this.#size)));
  }

  /** A worker is started by its first job. */
  #hand(number: number): Hand {
    return (this.#hands[number] ??= this.#start());
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
    // Those that were not started are holes.
    this.#hands.forEach((hand) => void hand.stop(reason));
  }
}
