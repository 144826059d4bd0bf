import type { Engine } from "../engine.js";
import type { Plan } from "../lorafold.js";
import type { Platform } from "../platform.js";
import { bind } from "../sources/bind.js";
import type { Input } from "../sources/input.js";
import { HeldPrograms, type ProgramUpdate } from "./programs.js";
import { type Job, type JobResult, type PostedInput, toPosted } from "./protocol.js";
import { JobRunner } from "./runner.js";
import { WorkerClient } from "./worker-client.js";

/** Runs jobs one after another: a worker, or the calling thread. */
interface JobExecutor {
  run(job: Job, update?: ProgramUpdate): Promise<JobResult>;
  stop(reason: unknown): void | Promise<void>;
}

/** Runs a job on the worker that took the task. */
export type RunJob = (job: Job) => Promise<JobResult>;

/** Tasks that one worker has at once: while it computes one, the bytes of another are read. */
const TASKS_PER_WORKER = 2;

/** Programs that a worker holds: more than its tasks can be of. */
const HELD_PROGRAMS = 2 * TASKS_PER_WORKER;

/** Workers that start where the caller does not say how many. */
const DEFAULT_MOST_WORKERS = 8;

/** Milliseconds that the calling thread computes before it lets the event loop (timers, signals, clicks) run. */
const TIME_SLICE = 30;

/** The workers of one merge. Where there are none, the calling thread runs the jobs. */
export class WorkerPool {
  readonly #start: () => JobExecutor;
  /** How many workers there may be, at least one. */
  readonly size: number;
  readonly #inThisThread: boolean;
  /** Has holes where a worker has not been started. */
  readonly #executors: { executor: JobExecutor; programs: HeldPrograms }[] = [];
  readonly #plan: Pick<Plan, "program" | "facts" | "factRounds">;
  #sliceBegan = performance.now();
  #stopped = false;

  /** `workers`: how many; 0 for the calling thread, by default one for each processor. */
  constructor(platform: Platform, engine: Engine, plan: Pick<Plan, "program" | "facts" | "factRounds">, inputs: Input[], workers: number | undefined, allowNonfinite: boolean) {
    this.#plan = plan;
    const { startWorker, processors, bindInput, writer } = platform;
    const size = startWorker ? (workers ?? Math.max(1, Math.min(processors(), DEFAULT_MOST_WORKERS))) : 0;
    this.size = Math.max(1, size);
    this.#inThisThread = size === 0;
    let posted: PostedInput[] | undefined;
    this.#start =
      startWorker && size > 0
        ? () => new WorkerClient(startWorker(), engine, inputs, (posted ??= inputs.map(toPosted)), allowNonfinite)
        : () => new JobRunner(engine.memory, inputs.map((input) => bind(input, bindInput)), allowNonfinite, writer);
  }

  /** Perform every task of every list. A worker takes the next one of its own list, then of the lists after it; the first failure ends all. */
  async runAll<T>(lists: Iterator<T>[], perform: (task: T, runJob: RunJob) => Promise<void>): Promise<void> {
    const next = (worker: number): IteratorResult<T> => {
      for (let after = 0; after < lists.length; after++) {
        const result = lists[(worker + after) % lists.length]!.next();
        if (!result.done) return result;
      }
      return { done: true, value: undefined };
    };
    const loop = async (worker: number) => {
      while (!this.#stopped) {
        const { done, value } = next(worker);
        if (done) return;
        await perform(value, (job) => this.#run(worker, job));
        if (this.#inThisThread && performance.now() - this.#sliceBegan > TIME_SLICE) await this.#letEventsRun();
      }
    };
    // First one task for each worker, then a second one for each: few tasks start few workers.
    await Promise.all(Array.from({ length: TASKS_PER_WORKER * this.size }, (_, number) => loop(number % this.size)));
  }

  /** A worker is started by its first job, and gets the program of a job before the first that needs it. */
  #run(worker: number, job: Job): Promise<JobResult> {
    const { executor, programs } = (this.#executors[worker] ??= { executor: this.#start(), programs: new HeldPrograms(() => this.#plan, HELD_PROGRAMS) });
    return executor.run(job, job.kind === "copy" ? undefined : programs.admit(job.program));
  }

  /** Jobs in this thread may read and write files without ever waiting: without this, no event would be handled before the merge ends. */
  async #letEventsRun(): Promise<void> {
    // In Node a timer that is due at once runs before signals are looked at.
    await new Promise((resolve) => (globalThis.setImmediate ?? setTimeout)(resolve, 0));
    this.#sliceBegan = performance.now();
  }

  /** Stop at once. Jobs that are running fail with `reason`. */
  stop(reason: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    // `forEach` skips holes.
    this.#executors.forEach(({ executor }) => void executor.stop(reason));
  }
}
