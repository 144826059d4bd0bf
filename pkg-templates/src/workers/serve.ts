import { instantiate } from "../engine.js";
import { fromPlain, toPlain } from "../errors.js";
import { Factors, Plan } from "../lorafold.js";
import type { PlanRequest } from "../schema.js";
import { bind } from "../sources/bind.js";
import { hashed } from "../sources/hashed.js";
import type { BoundInput, Input } from "../sources/input.js";
import type { PlannedBytes, Port, PostedInput, ToWorker } from "./protocol.js";
import { JobRunner, type Writer } from "./runner.js";

/** The worker's end of the protocol: run the jobs that come in on `port`. `bindInput` gives readers to inputs that only this platform knows. */
export function serve(port: Port, bindInput?: (input: Input) => BoundInput | undefined, writer?: Writer): void {
  let inputs: BoundInput[] = [];
  let runner: JobRunner | undefined;
  let factors: Promise<Factors> | undefined;
  const reads = new OwnerReads(port);
  const answer = <T>(id: number, work: Promise<T>, post: (result: T) => void) => {
    work.then(post, (error: unknown) => port.post({ type: "error", id, error: toPlain(error) }));
  };
  port.onMessage((message: ToWorker) => {
    switch (message.type) {
      case "start": {
        const { memory } = instantiate(message);
        inputs = message.inputs.map((input, number) => bind(reads.local(input, number), bindInput));
        runner = new JobRunner(memory, inputs, message.allowNonfinite, writer);
        break;
      }
      case "job": {
        const { id, job, update } = message;
        answer(id, runner!.run(job, update), (result) => port.post({ type: "done", id, ...result }, result.bytes ? [result.bytes] : []));
        break;
      }
      case "plan": {
        const { id, request, tagged } = message;
        answer(id, planned(request, inputs, tagged), (planned) => port.post({ type: "planned", id, ...planned }, [planned.plan]));
        break;
      }
      case "part": {
        const { id, request, part } = message;
        factors ??= Factors.open(request, inputs.map(hashed));
        const computed = factors.then((factors) => factors.compute(part) as Promise<Uint8Array<ArrayBuffer>[]>);
        answer(id, computed, (values) => port.post({ type: "computed", id, values }, values.map(({ buffer }) => buffer)));
        break;
      }
      case "bytes":
      case "failed":
        reads.answer(message);
    }
  });
  port.post({ type: "ready" });
}

async function planned(request: PlanRequest, inputs: BoundInput[], tagged: boolean): Promise<PlannedBytes> {
  const plan = await Plan.open(request, inputs.map(hashed));
  return { plan: plan.toBytes().buffer as ArrayBuffer, ...(tagged && { etags: plan.etags() }) };
}

/** Inputs that only the owner of this worker can read: asks it for their bytes. */
class OwnerReads {
  readonly #port: Port;
  readonly #waiting = new Map<number, { resolve: (bytes: Uint8Array) => void; reject: (error: unknown) => void }>();
  #next = 0;

  constructor(port: Port) {
    this.#port = port;
  }

  local({ remote, ...input }: PostedInput, number: number): Input {
    if (!remote) return input;
    const read = (start: number, end: number) =>
      new Promise<Uint8Array>((resolve, reject) => {
        const id = this.#next++;
        this.#waiting.set(id, { resolve, reject });
        this.#port.post({ type: "read", id, input: number, start, end });
      });
    return { ...input, read };
  }

  answer(message: ToWorker & { type: "bytes" | "failed" }): void {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.type === "bytes") waiting?.resolve(message.bytes);
    else waiting?.reject(fromPlain(message.error));
  }
}
