import type { Plan } from "./lorafold.js";
import type { FactJob } from "./schema.js";

/** The jobs of a round that gathers facts of a program, as far as nobody has taken them. */
interface Round {
  jobs: FactJob[];
  /** How many have not ended. */
  missing: number;
  over: Promise<void>;
  end: () => void;
}

/** The facts of programs in a merge: what must be known of a whole weight before any of its blocks. They are gathered in rounds, as many as the plan says. */
export class Facts {
  readonly #plan: Plan;
  readonly #rounds = new Map<number, Round>();
  readonly #known = new Set<number>();

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** Have all facts of a program gathered. Whoever needs them does one job after another by `run`, until every one is taken, and waits for the others'. */
  async gather(program: number, run: (job: FactJob) => Promise<Uint8Array>): Promise<void> {
    while (!this.#known.has(program)) {
      const round = this.#rounds.get(program) ?? this.#begin(program);
      const job = round?.jobs.shift();
      if (!job) {
        await round?.over;
        continue;
      }
      this.#plan.addFacts(program, await run(job));
      if (--round!.missing > 0) continue;
      this.#rounds.delete(program);
      round!.end();
    }
  }

  #begin(program: number): Round | undefined {
    const jobs = this.#plan.factJobs(program);
    if (jobs.length === 0) {
      this.#known.add(program);
      return undefined;
    }
    let end = () => {};
    const over = new Promise<void>((done) => (end = done));
    const round = { jobs, missing: jobs.length, over, end };
    this.#rounds.set(program, round);
    return round;
  }
}
