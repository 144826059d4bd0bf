import type { Wasm } from "../engine.js";
import { asLorafoldError, fromPlain, toPlain } from "../errors.js";
import type { Input } from "../sources/input.js";
import type { FactorsRequest, PlanRequest } from "../schema.js";
import type { ProgramUpdate } from "./programs.js";
import { type FromWorker, type Job, type JobResult, type PlannedBytes, type Port, type PostedInput, type ToWorker } from "./protocol.js";

type Answer = FromWorker & { type: "done" | "planned" | "computed" };

/** The owner's end of a worker: sends jobs, does the reads that only this thread can do, and passes results on. */
export class WorkerClient {
  readonly #port: Port;
  readonly #inputs: Input[];
  readonly #waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: unknown) => void }>();
  #next = 0;
  /** Set once it runs no more jobs: why. */
  #ended: { reason: unknown } | undefined;
  #loaded!: (loaded: boolean) => void;
  /** Whether its code could be loaded. Nothing is sent before, so that a worker which is stopped early has nothing to do. */
  readonly loaded = new Promise<boolean>((resolve) => (this.#loaded = resolve));

  /** `posted`: the inputs as the worker gets them. */
  constructor(port: Port, { module, rest }: Wasm, inputs: Input[], posted: PostedInput[], allowNonfinite: boolean) {
    this.#port = port;
    this.#inputs = inputs;
    port.onMessage((message: FromWorker) => this.#receive(message));
    port.onError((error) => this.#fail(error));
    this.#post({ type: "start", module, rest, inputs: posted, allowNonfinite });
  }

  run(job: Job, update?: ProgramUpdate): Promise<JobResult> {
    return this.#ask<"done">((id) => ({ type: "job", id, job, ...(update && { update }) }));
  }

  /** Make a plan of the inputs. */
  plan(request: PlanRequest, tagged: boolean): Promise<PlannedBytes> {
    return this.#ask<"planned">((id) => ({ type: "plan", id, request, tagged }));
  }

  /** Compute a part of an adapter: its outcome, and the values of A and of B. */
  async part(request: FactorsRequest, part: number): Promise<Uint8Array<ArrayBuffer>[]> {
    return (await this.#ask<"computed">((id) => ({ type: "part", id, request, part }))).values;
  }

  #ask<Type extends Answer["type"]>(message: (id: number) => ToWorker): Promise<Answer & { type: Type }> {
    if (this.#ended) return Promise.reject(this.#ended.reason);
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve: (answer) => resolve(answer as Answer & { type: Type }), reject });
      this.#post(message(id));
    });
  }

  #post(message: ToWorker): void {
    this.loaded
      .then(() => {
        if (!this.#ended) this.#port.post(message);
      })
      .catch((error: unknown) => this.#fail(error));
  }

  /** Stop at once, even in the middle of a job. Jobs that have no result yet fail with `reason`. */
  stop(reason: unknown): void {
    this.#port.terminate();
    this.#fail(reason);
  }

  #receive(message: FromWorker): void {
    if (message.type === "ready") return this.#loaded(true);
    if (message.type === "read") {
      void this.#read(message);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.type === "error") waiting?.reject(asLorafoldError(fromPlain(message.error)));
    else waiting?.resolve(message);
  }

  async #read({ id, input, start, end }: FromWorker & { type: "read" }): Promise<void> {
    try {
      const bytes = await this.#inputs[input]!.read!(start, end);
      // Posting a view would copy the whole buffer behind it.
      const own = ArrayBuffer.isView(bytes) && bytes.byteLength < bytes.buffer.byteLength ? bytes.slice() : bytes;
      this.#port.post({ type: "bytes", id, bytes: own });
    } catch (error) {
      this.#port.post({ type: "failed", id, error: toPlain(error) });
    }
  }

  #fail(error: unknown): void {
    this.#ended ??= { reason: error };
    this.#loaded(false);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
