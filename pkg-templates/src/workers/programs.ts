import type { Merger, Plan } from "../lorafold.js";

/** What must be done before a job of a program: forget another, take it, learn its facts. */
export interface ProgramUpdate {
  drop?: number;
  load?: { number: number; program: Uint8Array };
  learn?: { number: number; facts: Uint8Array };
}

/** The programs that a merger holds, the latest used last. A program is sent once, and again only after it has been forgotten. */
export class HeldPrograms {
  readonly #plan: () => Pick<Plan, "program" | "facts" | "factRounds">;
  readonly #most: number;
  /** How many rounds of facts of each program the merger has learned of. */
  readonly #held = new Map<number, number>();

  constructor(plan: () => Pick<Plan, "program" | "facts" | "factRounds">, most: number) {
    this.#plan = plan;
    this.#most = most;
  }

  /** What the merger lacks for a job of this program; nothing where it has all. */
  admit(number: number): ProgramUpdate | undefined {
    const learned = this.#held.get(number);
    const rounds = this.#plan().factRounds(number);
    const update: ProgramUpdate = {};
    if (learned === undefined) {
      update.load = { number, program: this.#plan().program(number)! };
      const [oldest] = this.#held.keys();
      if (this.#held.size >= this.#most) {
        this.#held.delete(oldest!);
        update.drop = oldest!;
      }
    }
    if (rounds !== (learned ?? 0)) update.learn = { number, facts: this.#plan().facts(number)! };
    this.#held.delete(number);
    this.#held.set(number, rounds);
    return update.load || update.learn ? update : undefined;
  }
}

/** Give a merger what it lacks. */
export function apply(merger: Pick<Merger, "drop" | "load"> & Partial<Pick<Merger, "learn">>, { drop, load, learn }: ProgramUpdate): void {
  if (drop !== undefined) merger.drop(drop);
  if (load) merger.load(load.number, load.program);
  if (learn) merger.learn?.(learn.number, learn.facts);
}
