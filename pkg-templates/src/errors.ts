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
  if (error instanceof WebAssembly.RuntimeError) return outOfMemory(error);
  const { code, message, ...about } = toPlain(error);
  if (code !== undefined) return new LorafoldError(code, message, about);
  return thrown(error).name === "AbortError" ? new LorafoldError("aborted", "aborted", { detail: error }) : error;
}

/** What a trap of the WebAssembly means: everything else that can go wrong is an error of its own. */
export function outOfMemory(detail?: unknown): LorafoldError {
  return new LorafoldError("limit-exceeded", "lorafold's WebAssembly has no memory left for this model: what it held is lost, and the next call starts anew", { detail });
}

/** What to do about what browsers throw by that name: their own words are for developers. */
const REMEDIES: Record<string, string> = {
  NotAllowedError: "the permission for it was refused or has ended: choose the folder again, and allow what the browser asks",
  SecurityError: "this page is not permitted to use it: its settings, a private window or the page's own policy may be why",
  NoModificationAllowedError: "another tab or program has it open: close it there",
  TypeMismatchError: "a folder is where a file should be, or a file where a folder should be",
};

/** What the platform threw, and where it is known what to do about it. */
export function inWords(error: unknown): string {
  const { name, message } = thrown(error);
  const remedy = REMEDIES[String(name)];
  return remedy === undefined ? message : `${remedy} (${message})`;
}

/** What a worker's "error" event means: without a message, that its script never ran. */
export function scriptFailed({ error, message }: ErrorEvent): unknown {
  if (error || message) return error ?? new Error(message);
  return new LorafoldError("fetch-failed", "the script of a worker could not be loaded: check the connection, and that the site serves all of lorafold's files");
}

/** What reading an input threw, as one of ours. */
export function readFailed(name: string, error: unknown): unknown {
  const { code, name: kind } = thrown(error);
  if (error instanceof LorafoldError || isCode(code) || kind === "AbortError") return error;
  // What browsers throw when a chosen file was changed or removed before it is read.
  const changed = kind === "NotReadableError" || kind === "NotFoundError";
  return new LorafoldError(changed ? "source-changed" : "fetch-failed", `${name}: ${inWords(error)}`, { detail: error });
}

/** Platform codes (`ENOENT`) are in capitals, ours are not. */
function isCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && /^[a-z-]+$/.test(code);
}

/** A wrong value as errors show it: a string that looks like a number is none. */
export const quoted = (value: unknown): string => (typeof value === "string" ? JSON.stringify(value) : String(value));

/** @throws {LorafoldError} `bad-option` where something else is given. */
export function checkSignal(signal: unknown): void {
  if (signal !== undefined && typeof (signal as AbortSignal | null)?.addEventListener !== "function") throw new LorafoldError("bad-option", "signal: not an AbortSignal");
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
