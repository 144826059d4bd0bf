import type { Plan } from "./lorafold.js";
import type { FactJob } from "./schema.js";

/** The facts of programs in a merge: what must be known of a whole weight before any of its blocks. */
export class Facts {
  readonly #plan: Plan;
  readonly #waiting = new Map<number, { missing: number; ready: Promise<void>; resolve: () => void }>();
  readonly #seen = new Set<number>();

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** The jobs that gather the facts of a program, when it is asked for the first time. */
  jobs(program: number): FactJob[] {
    if (this.#seen.has(program)) return [];
    this.#seen.add(program);
    const jobs = this.#plan.factJobs(program);
    if (jobs.length > 0) {
      let resolve = () => {};
      const ready = new Promise<void>((done) => (resolve = done));
      this.#waiting.set(program, { missing: jobs.length, ready, resolve });
    }
    return jobs;
  }

  /** Add the result of a job. */
  add(program: number, job: number, result: Uint8Array): void {
    this.#plan.addFacts(program, job, result);
    const waiting = this.#waiting.get(program)!;
    if (--waiting.missing > 0) return;
    this.#waiting.delete(program);
    waiting.resolve();
  }

  /** Resolves when the facts of a program are known. Its jobs must have been started. */
  ready(program: number): Promise<void> | undefined {
    return this.#waiting.get(program)?.ready;
  }
}
