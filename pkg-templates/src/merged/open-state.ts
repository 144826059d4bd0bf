import { LorafoldError } from "../errors.js";
import type { Merger, Plan } from "../lorafold.js";
import type { BoundInput } from "../sources/input.js";
import { MAX_REQUESTS } from "../sources/concurrency.js";
import { Semaphore } from "./semaphore.js";

/** The part of a merge specification that is needed here. */
interface Spec {
  tensor: string;
  terms: { a: Factor; b: Factor }[];
}

/** Where the bytes of a factor are. */
export interface Factor {
  input: number;
  start: number;
  bytes: number;
}

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
  readonly #specs = new Map<number, { text: string; spec: Spec }>();
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

  get merger(): Merger {
    this.checkOpen();
    return this.#merger;
  }

  /** The merge specification of a tensor: as text for the merger, and the part of it that is read here. */
  spec(tensor: number): { text: string; spec: Spec } {
    const known = this.#specs.get(tensor);
    if (known) return known;
    const text = this.plan.mergeSpec(tensor)!;
    const found = { text, spec: JSON.parse(text) as Spec };
    this.#specs.set(tensor, found);
    return found;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const input of this.inputs) input.close?.();
    this.#merger.free();
    this.#plan.free();
  }

  /** @throws {LorafoldError} `bad-option` once it is closed. */
  checkOpen(): void {
    if (this.#closed) throw new LorafoldError("bad-option", "the merged model is closed");
  }
}
