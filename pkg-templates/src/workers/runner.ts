import { collectBuffers } from "../collection.js";
import { aborted, readFailed } from "../errors.js";
import { Merger, Verifier } from "../lorafold.js";
import type { BoundInput } from "../sources/input.js";
import { apply, type ProgramUpdate } from "./programs.js";
import type { Job, JobResult, Target } from "./protocol.js";

/** Writes the bytes of jobs to their targets. */
export interface Writer {
  /** Open a target before it is written to, where that is asynchronous. */
  open?(target: Target): Promise<void>;
  /** Write bytes, which may be a view of WebAssembly memory, before returning. */
  write(target: Target, bytes: Uint8Array<ArrayBuffer>): void;
}

/** Bytes that are copied at a time where they are written here: they stay in the processor's cache from the read to the write. */
const STEP_BYTES = 1 << 20;

/** Runs jobs in this thread, one at a time. */
export class JobRunner {
  readonly #memory: WebAssembly.Memory;
  readonly #merger: Merger;
  readonly #inputs: BoundInput[];
  readonly #writer: Writer | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #verifier: Verifier | undefined;
  #stopped = false;

  constructor(memory: WebAssembly.Memory, inputs: BoundInput[], allowNonfinite: boolean, writer?: Writer) {
    this.#memory = memory;
    this.#merger = new Merger(inputs, allowNonfinite, 0);
    this.#inputs = inputs;
    this.#writer = writer;
  }

  /** Run a job after those before it. Blobs are read ahead meanwhile. `update`: what the merger lacks for it. */
  run(job: Job, update?: ProgramUpdate): Promise<JobResult> {
    const ahead = this.#readAhead(job);
    // A failure rejects the job that waits for it; this prevents an unhandled rejection before that.
    ahead?.catch(() => undefined);
    const result = this.#last.then(() => this.#perform(job, update, ahead));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** The bytes of the job's reads, where all of them are in Blobs. */
  #readAhead({ kind, reads }: Job): Promise<Uint8Array<ArrayBuffer>[]> | undefined {
    if (kind === "check" || !reads.every(({ input }) => this.#inputs[input]!.blob)) return undefined;
    return Promise.all(
      reads.map(async ({ input, start, bytes }) => {
        const { blob, name } = this.#inputs[input]!;
        const buffer = await blob!.slice(start, start + bytes).arrayBuffer().catch((error: unknown) => {
          throw readFailed(name, error);
        });
        return new Uint8Array(buffer);
      }),
    );
  }

  /** Write nothing from now on. A job that is running cannot be stopped: memory and readers are released when it has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#last;
    this.#merger.free();
    this.#verifier?.free();
    for (const input of this.#inputs) input.close?.();
  }

  async #perform(job: Job, update: ProgramUpdate | undefined, ahead: Promise<Uint8Array<ArrayBuffer>[]> | undefined): Promise<JobResult> {
    const merger = this.#merger;
    this.#unlessStopped();
    if (job.kind === "check") {
      const verifier = (this.#verifier ??= new Verifier(this.#inputs));
      if (update) apply(verifier, update);
      return { facts: await verifier.run(job.program, job.first, job.count) };
    }
    if (update) apply(merger, update);
    if (job.kind === "gather") return { facts: await merger.gather(job.program, job.first, job.count, await ahead) };
    const { target } = job;
    if (target) await this.#writer?.open?.(target);
    const given = await ahead;
    if (given) collectBuffers();
    const result: JobResult = {};
    if (job.kind === "copy" && given) {
      const [bytes] = given as [Uint8Array<ArrayBuffer>];
      if (job.asBlob) return { blob: new Blob([bytes]) };
      if (!target) return { bytes: bytes.buffer };
      this.#write(target, bytes);
      return result;
    }
    const all = job.kind === "copy" ? job.bytes : job.count;
    // What is not written here is to be in one piece, and what comes from elsewhere is asked for as a whole.
    const stepwise = target && job.reads.every(({ input }) => this.#inputs[input]!.readInto);
    const step = !stepwise ? all : job.kind === "copy" ? STEP_BYTES : job.step;
    let written = 0;
    for (let done = 0; done < all; done += step) {
      const count = Math.min(step, all - done);
      let skip = 0;
      if (job.kind === "copy") {
        const [{ input, start }] = job.reads;
        await merger.read(input, start + done, count);
      } else {
        const found = await merger.compute(job.program, job.first + done, count, job.statistics, given);
        if (found) (result.statistics ??= []).push(found);
        skip = done === 0 ? job.skip : 0;
      }
      // A new view each time: when the memory grows, older views become empty.
      const bytes = new Uint8Array(this.#memory.buffer as ArrayBuffer, merger.offset + skip, Math.min(merger.length - skip, job.bytes - written));
      // Browsers keep Blobs outside this process: made here, the bytes cross once, and from all workers in parallel.
      if (job.asBlob) result.blob = new Blob([bytes]);
      else if (target) this.#write({ ...target, at: target.at + written }, bytes);
      else result.bytes = bytes.slice().buffer;
      written += bytes.length;
    }
    return result;
  }

  /** Write unless stopped: after that, another merge may be writing to the same place. */
  #write(target: Target, bytes: Uint8Array<ArrayBuffer>): void {
    this.#unlessStopped();
    this.#writer?.write(target, bytes);
  }

  #unlessStopped(): void {
    if (this.#stopped) throw aborted();
  }
}
