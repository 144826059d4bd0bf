import { isAlive } from "../calls.js";
import { LorafoldError } from "../errors.js";
import type { Merger, Plan } from "../lorafold.js";
import type { BoundInput } from "../sources/input.js";
import { MAX_REQUESTS } from "../sources/turns.js";
import { apply, HeldPrograms } from "../workers/programs.js";
import { Semaphore } from "./semaphore.js";

/** Programs that are held: their packed operands are limited by their bytes. */
const HELD_PROGRAMS = 64;

/** What an open merged model computes its bytes from. After `close` every use is an error, also of reads that waited meanwhile. */
export class OpenMergedState {
  readonly inputs: readonly BoundInput[];
  readonly memory: WebAssembly.Memory;
  /** Bytes computed at a time. */
  readonly block: number;
  /** One for each stream of the base that is open. */
  readonly permits = new Semaphore(MAX_REQUESTS);
  readonly #plan: Plan;
  readonly #merger: Merger;
  readonly #programs = new HeldPrograms(() => this.plan, HELD_PROGRAMS);
  #closed = false;

  constructor(plan: Plan, merger: Merger, inputs: readonly BoundInput[], memory: WebAssembly.Memory, block: number) {
    this.#plan = plan;
    this.#merger = merger;
    this.inputs = inputs;
    this.memory = memory;
    this.block = block;
  }

  get plan(): Plan {
    this.checkOpen();
    return this.#plan;
  }

  /** The merger, which has the program, and its facts as far as they are known. It is to be used before anything is awaited. */
  mergerWith(program: number): Merger {
    this.checkOpen();
    const update = this.#programs.admit(program);
    if (update) apply(this.#merger, update);
    return this.#merger;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const input of this.inputs) input.close?.();
    this.#merger.free();
    this.#plan.free();
  }

  /** @throws {LorafoldError} `bad-option` once it is closed, `source-changed` when its WebAssembly instance is broken. */
  checkOpen(): void {
    if (this.#closed) throw new LorafoldError("bad-option", "the merged model is closed");
    if (!isAlive(this.memory)) throw new LorafoldError("source-changed", "the merged model was lost when lorafold's WebAssembly failed: open it anew");
  }
}
