/** The stable codes of {@link LorafoldError}. */
export type ErrorCode =
  | "bad-header" | "truncated" | "bad-config" | "unmatched-key" | "shape-mismatch" | "missing-pair" | "unsupported"
  | "non-finite" | "base-mismatch" | "source-changed" | "fetch-failed" | "no-range-support" | "out-of-space" | "aborted"
  | "limit-exceeded" | "bad-option";

/** The one error that lorafold throws for everything that can go wrong outside its own code. */
export class LorafoldError extends Error {
  override readonly name = "LorafoldError";
  readonly code: ErrorCode;
  /** The tensor or adapter key concerned. */
  readonly tensor?: string;
  /** The adapter concerned. */
  readonly adapter?: string;
  /** What the platform threw, where that is the cause. */
  readonly detail?: unknown;

  constructor(code: ErrorCode, message: string, about: { tensor?: string; adapter?: string; detail?: unknown } = {}) {
    super(message, about.detail === undefined ? undefined : { cause: about.detail });
    this.code = code;
    if (about.tensor !== undefined) this.tensor = about.tensor;
    if (about.adapter !== undefined) this.adapter = about.adapter;
    if (about.detail !== undefined) this.detail = about.detail;
  }
}

/** An error as it crosses from a worker. */
export interface PlainError {
  code?: ErrorCode;
  message: string;
  tensor?: string;
  adapter?: string;
}

/** What an error may say of itself. */
type Thrown = { [field in "name" | "code" | "cause" | "tensor" | "adapter"]?: unknown } & { message: string };

/** Whatever was thrown, be it nothing at all, as the fields of an error. */
export function thrown(error: unknown): Thrown {
  const fields: Partial<Record<keyof Thrown, unknown>> = error ?? {};
  const { name, code, message, cause, tensor, adapter } = fields;
  return { name, code, message: typeof message === "string" ? message : String(error), cause, tensor, adapter };
}

/** Take an error apart for a message to another thread. */
export function toPlain(error: unknown): PlainError {
  const { code, message, tensor, adapter } = thrown(error);
  return {
    message,
    ...(isCode(code) && { code }),
    ...(typeof tensor === "string" && { tensor }),
    ...(typeof adapter === "string" && { adapter }),
  };
}

/** Whatever was thrown, as what callers are promised: ours where it has a code, as it is where it is a bug. */
export function asLorafoldError(error: unknown): unknown {
  if (error instanceof LorafoldError) return error;
  const { code, message, ...about } = toPlain(error);
  if (code !== undefined) return new LorafoldError(code, message, about);
  return thrown(error).name === "AbortError" ? new LorafoldError("aborted", "aborted", { detail: error }) : error;
}

/** What reading an input threw, as one of ours. */
export function readFailed(name: string, error: unknown): unknown {
  const { code, name: kind, message } = thrown(error);
  if (error instanceof LorafoldError || isCode(code) || kind === "AbortError") return error;
  // What browsers throw when a chosen file was changed or removed before it is read.
  const changed = kind === "NotReadableError" || kind === "NotFoundError";
  return new LorafoldError(changed ? "source-changed" : "fetch-failed", `${name}: ${message}`, { detail: error });
}

/** Platform codes (`ENOENT`) are in capitals, ours are not. */
function isCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && /^[a-z-]+$/.test(code);
}

/** Throw `aborted` if the caller has asked to stop. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new LorafoldError("aborted", "aborted", { detail: signal.reason });
}

/** The promise, or `aborted` as soon as the signal says so. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  // Whoever stops no longer waits for it: that it fails then is nobody's concern.
  promise.catch(() => undefined);
  throwIfAborted(signal);
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new LorafoldError("aborted", "aborted", { detail: signal.reason }));
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
