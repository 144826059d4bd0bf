import type { Wasm } from "../engine.js";
import type { PlainError } from "../errors.js";
import type { FactorsRequest, PlanRequest, Span } from "../schema.js";
import type { Input } from "../sources/input.js";
import type { ProgramUpdate } from "./programs.js";

/** The end of a channel to a worker, or a worker's to its owner. */
export interface Port {
  post(message: ToWorker | FromWorker, transfer?: ArrayBuffer[]): void;
  /** Called for every message of the other side. */
  onMessage(handler: (message: never) => void): void;
  /** Called when the other side dies. */
  onError(handler: (error: unknown) => void): void;
  terminate(): void;
}

/** Where a worker puts bytes itself, when it can: a path on disk, or in the private file system of a browser. */
export interface Target {
  path: string;
  at: number;
}

/** One block to compute or to copy. Its bytes go to the target, become a Blob where the block is made, or come back. */
export type Job = { target?: Target; asBlob?: boolean } & JobWork;

/** `reads`: the bytes of inputs that the job needs, as far as they are not operands of its program. */
type JobWork =
  | { kind: "compute"; program: number; first: number; count: number; skip: number; step: number; bytes: number; statistics: boolean; reads: Span[] }
  | { kind: "gather"; program: number; first: number; count: number; reads: Span[] }
  /** Of a verification. Its worker reads what it needs. */
  | { kind: "check"; program: number; first: number; count: number; reads: [] }
  | { kind: "copy"; bytes: number; reads: [Span] };

/** The result of a job. */
export interface JobResult {
  /** The bytes, unless they were written or became a Blob. */
  bytes?: ArrayBuffer;
  /** The bytes as a Blob, where the job asks for one. */
  blob?: Blob;
  /** Statistics of the block's steps, where wanted, for the plan. */
  statistics?: Uint8Array[];
  /** What a job gathered, or found. */
  facts?: Uint8Array;
}

/** A plan as bytes, and the entity tags of its files. */
export interface PlannedBytes {
  plan: ArrayBuffer;
  etags?: string[];
}

/** What an owner says. */
export type ToWorker =
  | ({ type: "start" } & Wasm & { inputs: PostedInput[]; allowNonfinite: boolean })
  /** Make a plan of the inputs; the answer has it as bytes, and where `tagged` is wanted the entity tags of its files. */
  | { type: "plan"; id: number; request: PlanRequest; tagged: boolean }
  | { type: "job"; id: number; job: Job; update?: ProgramUpdate }
  /** Compute a part of the adapter that is asked for: the same one in all messages to a worker. */
  | { type: "part"; id: number; request: FactorsRequest; part: number }
  /** The answer to `read`. */
  | { type: "bytes"; id: number; bytes: Uint8Array }
  | { type: "failed"; id: number; error: PlainError };

/** What a worker says. */
export type FromWorker =
  /** The first: its code is loaded. */
  | { type: "ready" }
  | ({ type: "done"; id: number } & JobResult)
  | ({ type: "planned"; id: number } & PlannedBytes)
  | { type: "computed"; id: number; values: Uint8Array<ArrayBuffer>[] }
  | { type: "error"; id: number; error: PlainError }
  /** The worker wants bytes of an input that only its owner can read. */
  | { type: "read"; id: number; input: number; start: number; end: number };

/** An input as it crosses to a worker: functions stay behind. */
export type PostedInput = Omit<Input, "read" | "stream" | "sha256" | "head" | "bytes"> & { remote?: boolean };

/** What of an input can be sent. Held bytes become a Blob, which is not copied when it crosses. */
export function toPosted(input: Input): PostedInput {
  const { read, stream: _, sha256: __, head: ___, bytes, init, ...rest } = input;
  const { signal: ____, ...request } = init ?? {};
  return { ...rest, ...(bytes && { blob: new Blob([bytes]) }), ...(init && { init: request }), ...(read && { remote: true }) };
}
