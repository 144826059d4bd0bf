import { collectBuffers } from "../collection.js";
import { LorafoldError, readFailed } from "../errors.js";
import { Merger } from "../lorafold.js";
import type { BoundInput } from "../sources/input.js";
import type { Job, Target } from "./protocol.js";

/** What a job gives. */
export interface JobResult {
  /** The bytes, unless they are written already. */
  bytes?: ArrayBuffer;
  /** The same as a Blob, where that was asked for. */
  blob?: Blob;
  /** Statistics as JSON, where wanted. */
  tally?: string;
}

/** Puts bytes where they belong. */
export interface Writer {
  /** What must be waited for before a target can be written to. */
  open?(target: Target): Promise<void>;
  /** Write bytes that may stand in WebAssembly memory. */
  write(target: Target, bytes: Uint8Array<ArrayBuffer>): void;
}

/** Does jobs in this thread, one at a time. */
export class JobRunner {
  readonly #memory: WebAssembly.Memory;
  readonly #merger: Merger;
  readonly #inputs: BoundInput[];
  readonly #writer: Writer | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(memory: WebAssembly.Memory, inputs: BoundInput[], allowNonfinite: boolean, writer?: Writer) {
    this.#memory = memory;
    this.#merger = new Merger(inputs, allowNonfinite, 0);
    this.#inputs = inputs;
    this.#writer = writer;
  }

  /** Do a job once those before it are done. What a browser reads by itself it reads meanwhile. */
  run(job: Job): Promise<JobResult> {
    const ahead = this.#readAhead(job);
    // Whoever waits for the job hears of it.
    ahead?.catch(() => undefined);
    const result = this.#last.then(() => this.#perform(job, ahead));
    this.#last = result.catch(() => undefined);
    return result;
  }

  #readAhead({ input, start, ...job }: Job): Promise<ArrayBuffer> | undefined {
    const { blob, name } = this.#inputs[input]!;
    const bytes = job.kind === "merge" ? job.baseBytes : job.bytes;
    return blob?.slice(start, start + bytes).arrayBuffer().catch((error: unknown) => {
      throw readFailed(name, error);
    });
  }

  /** From now on nothing is written. Gives everything back once the job that is running, which cannot be stopped, has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#last;
    this.#merger.free();
    for (const input of this.#inputs) input.close?.();
  }

  async #perform(job: Job, ahead: Promise<ArrayBuffer> | undefined): Promise<JobResult> {
    const merger = this.#merger;
    const { target } = job;
    this.#unlessStopped();
    if (target) await this.#writer?.open?.(target);
    const base = ahead && new Uint8Array(await ahead);
    if (ahead) collectBuffers();
    let tally: string | undefined;
    let skip = 0;
    if (job.kind === "merge") {
      tally = await merger.fold(job.spec, job.first, job.count, job.statistics, base);
      skip = job.skip;
    } else if (base) {
      if (job.asBlob) return { blob: new Blob([base]) };
      if (!target) return { bytes: base.buffer };
      this.#write(target, base);
      return {};
    } else {
      await merger.read(job.input, job.start, job.bytes);
    }
    // A fresh view each time: the memory may have grown, which leaves older views empty.
    const bytes = new Uint8Array(this.#memory.buffer as ArrayBuffer, merger.offset + skip, job.bytes);
    const result = tally === undefined ? {} : { tally };
    // A browser keeps it elsewhere: that way is shorter from here, and every worker goes it at the same time.
    if (job.asBlob) return { ...result, blob: new Blob([bytes]) };
    if (!target) return { ...result, bytes: bytes.slice().buffer };
    this.#write(target, bytes);
    return result;
  }

  /** Where the bytes of a job that was stopped would go there may be another merge's by now. */
  #write(target: Target, bytes: Uint8Array<ArrayBuffer>): void {
    this.#unlessStopped();
    this.#writer?.write(target, bytes);
  }

  #unlessStopped(): void {
    if (this.#stopped) throw new LorafoldError("aborted", "aborted");
  }
}
