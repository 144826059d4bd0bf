import type { Merger, Plan } from "../lorafold.js";

/** What must be done before a job of a program: forget another, take it, learn its facts. */
export interface ProgramUpdate {
  drop?: number;
  load?: { number: number; program: Uint8Array };
  learn?: { number: number; facts: Uint8Array };
}

/** The programs that a merger holds, the latest used last. A program is sent once, and again only after it has been forgotten. */
export class HeldPrograms {
  readonly #plan: () => Pick<Plan, "program" | "facts">;
  readonly #most: number;
  /** Whether the merger has the program's facts. */
  readonly #held = new Map<number, boolean>();

  constructor(plan: () => Pick<Plan, "program" | "facts">, most: number) {
    this.#plan = plan;
    this.#most = most;
  }

  /** What the merger lacks for a job of this program; nothing where it has all. */
  admit(number: number): ProgramUpdate | undefined {
    let learned = this.#held.get(number);
    const update: ProgramUpdate = {};
    if (learned === undefined) {
      update.load = { number, program: this.#plan().program(number)! };
      const [oldest] = this.#held.keys();
      if (this.#held.size >= this.#most) {
        this.#held.delete(oldest!);
        update.drop = oldest!;
      }
    }
    if (!learned) {
      const facts = this.#plan().facts(number);
      if (facts) update.learn = { number, facts };
      learned = facts !== undefined;
    }
    this.#held.delete(number);
    this.#held.set(number, learned);
    return update.load || update.learn ? update : undefined;
  }
}

/** Give a merger what it lacks. */
export function apply(merger: Pick<Merger, "drop" | "load"> & Partial<Pick<Merger, "learn">>, { drop, load, learn }: ProgramUpdate): void {
  if (drop !== undefined) merger.drop(drop);
  if (load) merger.load(load.number, load.program);
  if (learn) merger.learn?.(learn.number, learn.facts);
}
