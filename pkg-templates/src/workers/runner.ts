import { collectBuffers } from "../collection.js";
import { LorafoldError, readFailed } from "../errors.js";
import { Merger } from "../lorafold.js";
import type { BoundInput } from "../sources/input.js";
import type { Job, Target } from "./protocol.js";

/** The result of a job. */
export interface JobResult {
  /** The bytes, unless they were written or became a Blob. */
  bytes?: ArrayBuffer;
  /** The bytes as a Blob, where the job asks for one. */
  blob?: Blob;
  /** Statistics as JSON, where wanted. */
  tally?: string;
}

/** Writes the bytes of jobs to their targets. */
export interface Writer {
  /** Open a target before it is written to, where that is asynchronous. */
  open?(target: Target): Promise<void>;
  /** Write bytes, which may be a view of WebAssembly memory, before returning. */
  write(target: Target, bytes: Uint8Array<ArrayBuffer>): void;
}

/** Runs jobs in this thread, one at a time. */
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

  /** Run a job after those before it. Blobs are read ahead meanwhile. */
  run(job: Job): Promise<JobResult> {
    const ahead = this.#readAhead(job);
    // A failure rejects the job that waits for it; this prevents an unhandled rejection before that.
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

  /** Write nothing from now on. A job that is running cannot be stopped: memory and readers are released when it has ended. */
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
    // A new view each time: when the memory grows, older views become empty.
    const bytes = new Uint8Array(this.#memory.buffer as ArrayBuffer, merger.offset + skip, job.bytes);
    const result = tally === undefined ? {} : { tally };
    // Browsers keep Blobs outside this process: made here, the bytes cross once, and from all workers in parallel.
    if (job.asBlob) return { ...result, blob: new Blob([bytes]) };
    if (!target) return { ...result, bytes: bytes.slice().buffer };
    this.#write(target, bytes);
    return result;
  }

  /** Write unless stopped: after that, another merge may be writing to the same place. */
  #write(target: Target, bytes: Uint8Array<ArrayBuffer>): void {
    this.#unlessStopped();
    this.#writer?.write(target, bytes);
  }

  #unlessStopped(): void {
    if (this.#stopped) throw new LorafoldError("aborted", "aborted");
  }
}
