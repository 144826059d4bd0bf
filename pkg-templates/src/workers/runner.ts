import { Merger } from "../lorafold.js";
import type { BoundInput } from "../sources/listing.js";
import type { Job, Target } from "./protocol.js";

/** What a job gives. */
export interface JobResult {
  /** The bytes, unless they are written already. */
  bytes?: ArrayBuffer;
  /** Statistics as JSON, where wanted. */
  tally?: string;
}

/** Write bytes that stand in WebAssembly memory to where they belong. */
export type WriteTarget = (target: Target, bytes: Uint8Array) => void;

/** Does jobs in this thread, one at a time. */
export class JobRunner {
  readonly #memory: WebAssembly.Memory;
  readonly #merger: Merger;
  readonly #write: WriteTarget | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(memory: WebAssembly.Memory, inputs: BoundInput[], allowNonfinite: boolean, write?: WriteTarget) {
    this.#memory = memory;
    this.#merger = new Merger(inputs, allowNonfinite, 0);
    this.#write = write;
  }

  /** Do a job once those before it are done. */
  run(job: Job): Promise<JobResult> {
    const result = this.#last.then(() => this.#perform(job));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Resolves when no job is running. */
  async idle(): Promise<void> {
    await this.#last;
  }

  /** Give the memory back; to be called when idle. */
  free(): void {
    this.#merger.free();
  }

  async #perform(job: Job): Promise<JobResult> {
    const merger = this.#merger;
    let tally: string | undefined;
    if (job.kind === "merge") tally = await merger.fold(job.spec, job.first, job.count, job.statistics);
    else await merger.read(job.input, job.start, job.bytes);
    const skip = job.kind === "merge" ? job.skip : 0;
    // A fresh view each time: the memory may have grown, which leaves older views empty.
    const bytes = new Uint8Array(this.#memory.buffer, merger.offset + skip, job.bytes);
    const result = tally === undefined ? {} : { tally };
    if (!job.target) return { ...result, bytes: bytes.slice().buffer };
    this.#write?.(job.target, bytes);
    return result;
  }
}
