import { LorafoldError } from "../errors.js";
import type { Merger, Plan } from "../lorafold.js";
import type { BoundInput } from "../sources/listing.js";
import { MOST_IN_FLIGHT } from "../sources/request.js";
import { Turns } from "./turns.js";

/** What a merge specification says that is needed here. */
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

/** What the bytes of a merged file are computed from, until it is closed: whoever has waited for something finds that out here. */
export class Workshop {
  readonly inputs: readonly BoundInput[];
  readonly memory: WebAssembly.Memory;
  /** Bytes computed at a time. */
  readonly block: number;
  readonly turns = new Turns(MOST_IN_FLIGHT);
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
    this.demandOpen();
    return this.#plan;
  }

  get merger(): Merger {
    this.demandOpen();
    return this.#merger;
  }

  /** All that the merger must know of a tensor, and what is read of it here. */
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
  demandOpen(): void {
    if (this.#closed) throw new LorafoldError("bad-option", "the merged model is closed");
  }
}
