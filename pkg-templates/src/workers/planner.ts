import type { Wasm } from "../engine.js";
import { aborted, throwIfAborted, thrown } from "../errors.js";
import { Plan } from "../lorafold.js";
import type { Platform } from "../platform.js";
import type { PlanRequest } from "../schema.js";
import type { BoundInput, Input } from "../sources/input.js";
import { toPosted } from "./protocol.js";
import { WorkerClient } from "./worker-client.js";

/** A plan, and the entity tags of its files where somebody else has computed them. */
export interface Planned {
  plan: Plan;
  etags?: string[] | undefined;
}

/**
 * Make a plan in a worker of its own, which ends with it: patterns that backtrack and headers of many tensors keep only that worker busy, and an
 * abort ends it in the middle. The plan comes back as bytes. `undefined` where no worker can be had, or the request cannot be sent to one: planning
 * needs none. `tagged`: with the entity tags of its files, which of many tensors take long, too.
 */
export async function planInWorker({ startWorker }: Platform, wasm: Wasm, request: PlanRequest, inputs: BoundInput[], tagged: boolean, signal?: AbortSignal): Promise<Planned | undefined> {
  let worker: WorkerClient;
  try {
    const readable = inputs.map(posted);
    worker = new WorkerClient(startWorker!(), wasm, readable, readable.map(toPosted), false);
  } catch {
    return undefined;
  }
  const stop = () => worker.stop(aborted(signal?.reason));
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const loaded = await worker.loaded;
    throwIfAborted(signal);
    if (!loaded) return undefined;
    const { plan, etags } = await worker.plan(request, tagged);
    return { plan: Plan.fromBytes(new Uint8Array(plan)), etags };
  } catch (error) {
    if (thrown(error).name === "DataCloneError") return undefined;
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
    worker.stop(undefined);
  }
}

/** Blobs are read in the worker. Everything else is read here, by the readers that know its first bytes, its state, and the caller's functions. */
function posted({ name, blob, read }: BoundInput): Input {
  return blob ? { name, blob } : { name, ...(read && { read }) };
}
