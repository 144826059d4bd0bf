import type { ErrorCode, ErrorFacts, ErrorKind } from "./schema.js";

export type { ErrorCode, ErrorFacts, ErrorKind };

/** What an error is about, and what the platform threw where that is the cause. */
export type About = ErrorFacts & { detail?: unknown };

/** The one error that lorafold throws for everything that can go wrong outside its own code. */
export class LorafoldError extends Error {
  override readonly name = "LorafoldError";
  readonly code: ErrorCode;
  /** What programs may branch on, instead of the message. */
  readonly facts: Readonly<ErrorFacts>;
  /** The tensor or adapter key concerned: that of the facts. */
  readonly tensor?: string;
  /** The adapter concerned: that of the facts. */
  readonly adapter?: string;
  /** What the platform threw, where that is the cause. */
  readonly detail?: unknown;

  constructor(code: ErrorCode, message: string, { detail, ...facts }: ErrorFacts & { detail?: unknown } = {}) {
    super(message, detail === undefined ? undefined : { cause: detail });
    this.code = code;
    this.facts = facts;
    if (facts.tensor !== undefined) this.tensor = facts.tensor;
    if (facts.adapter !== undefined) this.adapter = facts.adapter;
    if (detail !== undefined) this.detail = detail;
  }
}

/** An error about a file, a folder or a URL: `file: reason; fix`. */
export function fileError(code: ErrorCode, file: string, reason: string, about: About = {}): LorafoldError {
  return new LorafoldError(code, sentence(file, reason, about), { file, ...about });
}

/** `bad-option` about one option: `option: reason; fix`. */
export function optionError(field: string, reason: string, about: About = {}): LorafoldError {
  return new LorafoldError("bad-option", sentence(field, reason, about), { field, ...about });
}

/** `bad-option` for a value that is not what the option takes. */
export function wrongValue(option: string, value: unknown, expected: string): LorafoldError {
  const found = quoted(value);
  return optionError(option, `${found} is not ${expected}`, { found, expected });
}

const sentence = (subject: string, reason: string, { fix }: ErrorFacts) => `${subject}: ${reason}${fix === undefined ? "" : `; ${fix}`}`;

/** `aborted`: the caller asked to stop. */
export const aborted = (detail?: unknown): LorafoldError => new LorafoldError("aborted", "aborted", { detail });

/** An error as it crosses from a worker. */
export interface PlainError {
  /** What kind of error the platform threw: a `DOMException` is told by it. */
  name?: string;
  code?: ErrorCode;
  message: string;
  facts?: ErrorFacts;
}

/** What an error may say of itself. */
type Thrown = { [field in "name" | "code" | "cause" | "facts"]?: unknown } & { message: string };

/** Whatever was thrown, be it nothing at all, as the fields of an error. */
export function thrown(error: unknown): Thrown {
  const fields: Partial<Record<keyof Thrown, unknown>> = error ?? {};
  const { name, code, message, cause, facts } = fields;
  return { name, code, message: typeof message === "string" ? message : String(error), cause, facts };
}

/** Take an error apart for a message to another thread. */
export function toPlain(error: unknown): PlainError {
  const { name, code, message, facts } = thrown(error);
  return {
    message,
    ...(typeof name === "string" && { name }),
    ...(isCode(code) && { code }),
    ...(typeof facts === "object" && facts !== null && { facts }),
  };
}

/** Put together again what {@link toPlain} took apart. */
export function fromPlain(plain: PlainError): unknown {
  const { code, message, facts } = plain;
  return code === undefined ? Object.assign(new Error(message), plain) : new LorafoldError(code, message, facts);
}

/** Whatever was thrown, as what callers are promised: ours where it has a code, as it is where it is a bug. */
export function asLorafoldError(error: unknown): unknown {
  if (error instanceof LorafoldError) return error;
  const plain = toPlain(error);
  if (plain.code !== undefined) return fromPlain(plain);
  return plain.name === "AbortError" ? aborted(error) : error;
}

/** What the death of a worker means. Errors of its jobs do not end it. */
export function workerDied(error: unknown): LorafoldError {
  const { code, message } = thrown(error);
  if (code === "ERR_WORKER_OUT_OF_MEMORY") return new LorafoldError("limit-exceeded", `a worker has too little memory: ${message}`, { kind: "no-memory", detail: error });
  return new LorafoldError("internal", `a worker has died: ${message}`, { detail: error });
}

/** Names of what browsers throw, and codes of what Node throws, by what they mean. */
const KINDS: Record<string, ErrorKind> = {
  NotAllowedError: "access-denied", SecurityError: "access-denied", EACCES: "access-denied", EPERM: "access-denied", EROFS: "access-denied",
  NotFoundError: "not-found", ENOENT: "not-found",
};

/** What the platform threw, as the facts that it says, and the cause. */
export function platformFacts(error: unknown): About {
  const { name, code } = thrown(error);
  const kind = KINDS[String(code)] ?? KINDS[String(name)];
  return { detail: error, ...(kind && { kind }) };
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
export function scriptFailed({ error, message }: ErrorEvent): LorafoldError {
  if (error || message) return workerDied(error ?? new Error(message));
  return new LorafoldError("fetch-failed", "the script of a worker could not be loaded: check the connection, and that the site serves all of lorafold's files");
}

/** A part of lorafold that is loaded when it is needed, or the error that it cannot be. */
export const part = <T>(loading: Promise<T>): Promise<T> =>
  loading.catch((detail: unknown) => {
    throw new LorafoldError("fetch-failed", "a part of lorafold could not be loaded: check the connection, and that the site serves all of lorafold's files", { detail });
  });

/** What reading an input threw, as one of ours. */
export function readFailed(name: string, error: unknown): unknown {
  const { code, name: kind } = thrown(error);
  if (error instanceof LorafoldError || isCode(code) || kind === "AbortError") return error;
  // What browsers throw when a chosen file was changed or removed before it is read.
  const changed = kind === "NotReadableError" || kind === "NotFoundError";
  return fileError(changed ? "source-changed" : "fetch-failed", name, inWords(error), platformFacts(error));
}

/** Platform codes (`ENOENT`) are in capitals, ours are not. */
function isCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && /^[a-z-]+$/.test(code);
}

/** A wrong value as errors show it: a string that looks like a number is none. */
export const quoted = (value: unknown): string => (typeof value === "string" ? JSON.stringify(value) : String(value));

/** @throws {LorafoldError} `bad-option` where something else is given. */
export function checkSignal(signal: unknown): void {
  if (signal !== undefined && typeof (signal as AbortSignal | null)?.addEventListener !== "function") throw optionError("signal", "not an AbortSignal");
}

/** Throw `aborted` if the caller has asked to stop. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal.reason);
}

/** The promise, or `aborted` as soon as the signal says so. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  // After an abort nobody waits for the promise: its failure must not become an unhandled rejection.
  promise.catch(() => undefined);
  throwIfAborted(signal);
  let stop = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(aborted(signal.reason));
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([promise, stopped]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
