import type { Context } from "../context.js";
import { asLorafoldError, checkSignal, fileError, LorafoldError, quoted, throwIfAborted } from "../errors.js";
import { Merger } from "../lorafold.js";
import { checkOptions, OPEN_OPTIONS, READ_OPTIONS, RESPONSE_OPTIONS } from "../options.js";
import { prepare } from "../prepare.js";
import { reportOf } from "../report.js";
import { address } from "../sources/address.js";
import { bind } from "../sources/bind.js";
import type { Input } from "../sources/input.js";
import { MAX_REQUESTS } from "../sources/turns.js";
import type { MergedModel, OpenOptions, ReadOptions, Report, ResponseOptions, VirtualFile } from "../types.js";
import { OpenMergedState } from "./open-state.js";
import { respond } from "./response.js";
import { Semaphore } from "./semaphore.js";
import { mergedBytes } from "./stream.js";

/** Bytes that are computed at a time, and packed factors that are kept. */
const BLOCK = 1 << 20;
const FACTOR_BYTES = 24 << 20;

/** See {@link Api.openMerged}. */
export async function openMerged(context: Context, options: OpenOptions): Promise<MergedModel> {
  try {
    const { plan, inputs, etags } = await prepare(context, "openMerged", options, OPEN_OPTIONS, true);
    const onePass = inputs.find((input) => input.ranges === false);
    if (onePass) {
      plan.free();
      throw fileError("no-range-support", address(onePass.url!), "the server does not answer ranged requests, which reading at any place needs");
    }
    const { memory } = await context.engine();
    const { bindInput, blockBytes = BLOCK, factorBytes = FACTOR_BYTES } = context.platform;
    const merger = new Merger([], options.allowNonfinite ?? false, factorBytes);
    const state = new OpenMergedState(plan, merger, inputs.map((input) => bind(withoutSignal(input), bindInput)), memory, blockBytes);
    return new OpenModel(state, etags ?? plan.etags());
  } catch (error) {
    throw asLorafoldError(error);
  }
}

/** The signal of the options only aborts opening the model; every read has its own. */
function withoutSignal(input: Input): Input {
  if (!input.init?.signal) return input;
  const { signal: _, ...init } = input.init;
  return { ...input, init };
}

class OpenModel implements MergedModel {
  readonly files: readonly VirtualFile[];
  #report: Report | undefined;
  readonly #state: OpenMergedState;
  readonly #reads = new Semaphore(MAX_REQUESTS);
  #changed = false;
  /** Reads that are under way, and whether the model closes after the last of them. */
  #readers = 0;
  #released = false;

  constructor(state: OpenMergedState, etags: string[]) {
    this.#state = state;
    const files = state.plan.files() as { name: string; size: number }[];
    this.files = files.map((file, number) => ({ ...file, etag: etags[number]! }));
  }

  get report(): Report {
    return (this.#report ??= reportOf(() => this.#state.plan));
  }

  async read(name: string, start = 0, end?: number, options?: ReadOptions): Promise<Uint8Array<ArrayBuffer>> {
    const signal = signalOf(options);
    const { number, last } = this.#range(name, start, end);
    const leave = this.#enter();
    return this.#reads.run(async () => {
      const bytes = new Uint8Array(last - start);
      let filled = 0;
      for await (const part of mergedBytes(this.#state, number, start, last, signal)) {
        bytes.set(part, filled);
        filled += part.length;
      }
      return bytes;
    }, signal).catch((error: unknown) => {
      throw this.#failed(error);
    }).finally(leave);
  }

  stream(name: string, start = 0, end?: number, options?: ReadOptions): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#stream(name, start, end, signalOf(options), false);
  }

  #stream(name: string, start: number, end: number | undefined, signal: AbortSignal | undefined, proven: boolean): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { number, last } = this.#range(name, start, end);
    const stop = new AbortController();
    const leave = this.#enter();
    const done = () => {
      signal?.removeEventListener("abort", abort);
      leave();
    };
    // Ends the read at once, for the client may never ask for the next bytes.
    const abort = () => {
      stop.abort(signal?.reason);
      done();
    };
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    const bytes = mergedBytes(this.#state, number, start, last, stop.signal, proven);
    const failed = (error: unknown) => this.#failed(error);
    return new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        async pull(controller) {
          try {
            throwIfAborted(stop.signal);
            const next = await bytes.next();
            if (!next.done) return controller.enqueue(next.value);
            done();
            controller.close();
          } catch (error) {
            done();
            // A stream that has failed is never cancelled, so its reads of the base are ended here.
            bytes.return().catch(() => undefined);
            controller.error(failed(error));
          }
        },
        async cancel() {
          done();
          // Aborting ends the read that is under way; only then can the generator return.
          stop.abort();
          bytes.return().catch(() => undefined);
        },
      },
      // No reading ahead: a block is computed when the client asks for it.
      { highWaterMark: 0 },
    );
  }

  async response(request: Request, options?: ResponseOptions): Promise<Response> {
    checkOptions("response", options ?? {}, RESPONSE_OPTIONS);
    return respond(this.files, (name, start, end) => this.#stream(name, start, end, request.signal, true), request, options ?? {});
  }

  get changed(): boolean {
    return this.#changed;
  }

  close(): void {
    this.#state.close();
  }

  release(): void {
    this.#released = true;
    if (this.#readers === 0) this.close();
  }

  /** Count a read that begins. The function returned is to be called when it has ended; further calls do nothing. */
  #enter(): () => void {
    this.#readers++;
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#readers--;
      if (this.#released) this.release();
    };
  }

  /** Turn what a read threw into the error that callers are promised. */
  #failed(thrown: unknown): unknown {
    const error = asLorafoldError(thrown);
    if (error instanceof LorafoldError && error.code === "source-changed") this.#changed = true;
    return error;
  }

  #range(name: string, start: number, end: number | undefined): { number: number; last: number } {
    this.#state.checkOpen();
    const number = this.files.findIndex((file) => file.name === name);
    if (number < 0) throw new LorafoldError("bad-option", `the merged model has no file ${name}`, { kind: "not-found", file: name });
    const { size } = this.files[number]!;
    const last = end ?? size;
    if (!(Number.isInteger(start) && Number.isInteger(last) && 0 <= start && start <= last && last <= size)) {
      const found = `${quoted(start)} to ${quoted(last)}`;
      const fix = typeof start === "number" && typeof last === "number" ? "" : ": both are numbers, and options come after them";
      throw new LorafoldError("bad-option", `${name} has ${size} bytes: ${found} is no range of it${fix}`, { file: name, found, expected: `a range within 0 to ${size}` });
    }
    return { number, last };
  }
}

function signalOf(options: ReadOptions | undefined): AbortSignal | undefined {
  const { signal } = options ?? {};
  checkOptions("a read", options ?? {}, READ_OPTIONS);
  checkSignal(signal);
  return signal;
}
