import { engine } from "../engine.js";
import { asLorafoldError, checkSignal, LorafoldError, throwIfAborted } from "../errors.js";
import { Merger } from "../lorafold.js";
import { platform } from "../platform.js";
import { prepare } from "../prepare.js";
import { address } from "../sources/address.js";
import { bind } from "../sources/bind.js";
import type { Input } from "../sources/listing.js";
import { MOST_IN_FLIGHT } from "../sources/request.js";
import type { MergedModel, OpenOptions, ReadOptions, Report, ResponseOptions, VirtualFile } from "../types.js";
import { respond } from "./response.js";
import { mergedBytes } from "./stream.js";
import { Turns } from "./turns.js";
import { Workshop } from "./workshop.js";

/** Bytes that are computed at a time, and packed factors that are kept. */
const BLOCK = 1 << 20;
const FACTOR_BYTES = 24 << 20;

/**
 * The merged model as a folder that is nowhere: every byte is computed when it is read.
 *
 * @throws {LorafoldError} for everything that {@link plan} throws, and `no-range-support` where the base can only be read in one pass.
 */
export async function openMerged(options: OpenOptions): Promise<MergedModel> {
  try {
    const { plan, inputs } = await prepare(options);
    const onePass = inputs.find((input) => input.ranges === false);
    if (onePass) {
      plan.free();
      throw new LorafoldError("no-range-support", `${address(onePass.url!)}: the server does not answer ranged requests, which reading at any place needs`);
    }
    const { memory } = await engine();
    const { bindInput, blockBytes = BLOCK, factorBytes = FACTOR_BYTES } = platform();
    const merger = new Merger([], options.allowNonfinite ?? false, factorBytes);
    const shop = new Workshop(plan, merger, inputs.map((input) => bind(withoutSignal(input), bindInput)), memory, blockBytes);
    return new OpenModel(shop);
  } catch (error) {
    throw asLorafoldError(error);
  }
}

/** The signal of the options ends the opening; every read has its own. */
function withoutSignal(input: Input): Input {
  if (!input.init?.signal) return input;
  const { signal: _, ...init } = input.init;
  return { ...input, init };
}

class OpenModel implements MergedModel {
  readonly files: readonly VirtualFile[];
  readonly report: Report;
  readonly #shop: Workshop;
  readonly #reads = new Turns(MOST_IN_FLIGHT);
  #changed = false;
  /** Reads that are under way, and whether the model goes with the last of them. */
  #readers = 0;
  #released = false;

  constructor(shop: Workshop) {
    this.#shop = shop;
    const etags = JSON.parse(shop.plan.etags()) as string[];
    const files = JSON.parse(shop.plan.files()) as { name: string; size: number }[];
    this.files = files.map((file, number) => ({ ...file, etag: etags[number]! }));
    this.report = JSON.parse(shop.plan.report("[]")) as Report;
  }

  async read(name: string, start = 0, end?: number, options?: ReadOptions): Promise<Uint8Array<ArrayBuffer>> {
    const signal = signalOf(options);
    const { number, last } = this.#range(name, start, end);
    const leave = this.#enter();
    return this.#reads.take(async () => {
      const bytes = new Uint8Array(last - start);
      let filled = 0;
      for await (const part of mergedBytes(this.#shop, number, start, last, signal)) {
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
    // Nobody may read on to be told so.
    const abort = () => {
      stop.abort(signal?.reason);
      done();
    };
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    const bytes = mergedBytes(this.#shop, number, start, last, stop.signal, proven);
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
            // A stream that has failed is never cancelled: what it reads of the base ends here.
            bytes.return().catch(() => undefined);
            controller.error(failed(error));
          }
        },
        async cancel() {
          done();
          // A read that is under way ends with its request; then the generator can be left.
          stop.abort();
          bytes.return().catch(() => undefined);
        },
      },
      // Nothing is computed before somebody wants it.
      { highWaterMark: 0 },
    );
  }

  response(request: Request, options?: ResponseOptions): Promise<Response> {
    return respond(this.files, (name, start, end) => this.#stream(name, start, end, request.signal, true), request, options ?? {});
  }

  get changed(): boolean {
    return this.#changed;
  }

  close(): void {
    this.#shop.close();
  }

  release(): void {
    this.#released = true;
    if (this.#readers === 0) this.close();
  }

  /** A read begins; what this gives is called when it has ended, once or more often. */
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

  /** What a read threw, as callers are promised it. */
  #failed(thrown: unknown): unknown {
    const error = asLorafoldError(thrown);
    if (error instanceof LorafoldError && error.code === "source-changed") this.#changed = true;
    return error;
  }

  #range(name: string, start: number, end: number | undefined): { number: number; last: number } {
    this.#shop.demandOpen();
    const number = this.files.findIndex((file) => file.name === name);
    if (number < 0) throw new LorafoldError("bad-option", `the merged model has no file ${name}`);
    const { size } = this.files[number]!;
    const last = end ?? size;
    if (!(Number.isInteger(start) && Number.isInteger(last) && 0 <= start && start <= last && last <= size)) {
      throw new LorafoldError("bad-option", `${name} has ${size} bytes: ${start} to ${last} is no range of it`);
    }
    return { number, last };
  }
}

function signalOf(options: ReadOptions | undefined): AbortSignal | undefined {
  const signal = options?.signal;
  checkSignal(signal);
  return signal;
}
