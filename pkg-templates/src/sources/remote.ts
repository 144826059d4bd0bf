import { fileError, LorafoldError } from "../errors.js";
import { address } from "./address.js";
import { NETWORK, type RequestOptions } from "./network.js";
import { isRun, ranged } from "./range.js";
import { type ByteReader, StreamReader } from "./reader.js";
import { discard, fetchFailed, refused, request, type RetryWait } from "./request.js";
import { checkState, type State, stateOf } from "./state.js";

/** What is known of a file behind a URL. */
export interface RemoteInput extends State {
  url: string;
  /** In bytes; missing where the server sends no length. */
  size?: number;
  /** Whether the server answers ranged requests. */
  ranges?: boolean;
  /** Options of every request for the file. */
  init?: RequestOptions;
  /** The file's first bytes, which came with its listing. */
  head?: Uint8Array<ArrayBuffer>;
}

/** How often a body that breaks off is resumed, and after how many bytes that count starts again. */
const RESUMES = 3;
const RESUMED_WELL = 16 << 20;

/** A file behind a URL: by ranges where the server has them, as one stream where not. */
export class RemoteFile {
  readonly #file: RemoteInput;
  /** Of a server without ranges: the body that is being read. */
  #stream: StreamReader | undefined;

  constructor(file: RemoteInput) {
    this.#file = { ...file };
  }

  /** Bytes `start` up to `end`. */
  async read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const { head, ranges } = this.#file;
    if (head && end <= head.length) return head.subarray(start, end);
    if (start === end) return new Uint8Array(0);
    if (ranges === false) return this.#readOn(start, end);
    if (!head || start >= head.length) return this.#readRange(start, end);
    const whole = new Uint8Array(end - start);
    whole.set(head.subarray(start));
    whole.set(await this.#readRange(head.length, end), head.length - start);
    return whole;
  }

  async #readRange(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const reader = this.open(start, end);
    try {
      return await reader.take(end - start);
    } finally {
      reader.cancel();
    }
  }

  /** Request bytes `start` up to `end`. When the body breaks off, the reader requests the rest. */
  open(start: number, end: number, signal?: AbortSignal, retryWait?: RetryWait): ByteReader {
    return new ResumingReader(this.#file, start, end, signal, retryWait);
  }

  close(): void {
    this.#stream?.cancel();
    this.#stream = undefined;
  }

  /** Read from the one stream that a server without ranges gives. Going backwards costs another request for the whole file. */
  async #readOn(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    // Put back only after a successful read, so that a failed one leaves no half-read stream.
    let stream = this.#stream;
    this.#stream = undefined;
    if (!stream || stream.taken > start) {
      stream?.cancel();
      const { url, init } = this.#file;
      const response = await request(url, init);
      if (!response.ok || !response.body) throw await refused(url, response, init);
      checkState(url, this.#file, response);
      stream = new StreamReader(address(url), response.body, (init?.network ?? NETWORK).stallTimeout);
    }
    try {
      await stream.skip(start - stream.taken);
      const bytes = await stream.take(end - start);
      this.#stream = stream;
      return bytes;
    } catch (error) {
      stream.cancel();
      throw fetchFailed(this.#file.url, error, this.#file.init?.signal ?? undefined);
    }
  }
}

/** Reads a range. When the connection is lost, it requests the rest. */
class ResumingReader implements ByteReader {
  readonly #file: RemoteInput;
  readonly #signal: AbortSignal | undefined;
  readonly #retryWait: RetryWait | undefined;
  readonly #end: number;
  #at: number;
  #body: StreamReader | undefined;
  #resumes = 0;
  #lostAt = 0;

  constructor(file: RemoteInput, start: number, end: number, signal?: AbortSignal, retryWait?: RetryWait) {
    this.#file = file;
    this.#at = start;
    this.#end = end;
    this.#signal = signal ?? file.init?.signal ?? undefined;
    this.#retryWait = retryWait;
  }

  async take(bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const whole = new Uint8Array(bytes);
    let filled = 0;
    while (filled < bytes) {
      this.#body ??= await this.#ask();
      const before = this.#body.taken;
      try {
        await this.#body.fill(whole, filled);
      } catch (error) {
        const came = this.#body.taken - before;
        filled += came;
        this.#at += came;
        this.#lost(error);
        continue;
      }
      this.#at += bytes - filled;
      filled = bytes;
      if (this.#at === this.#end && this.#body.overfull) throw this.#sent("more than that");
    }
    return whole;
  }

  get connected(): boolean {
    return this.#body !== undefined && this.#at < this.#end;
  }

  #sent(what: string): LorafoldError {
    const { url, size } = this.#file;
    return fileError("source-changed", address(url), `asked for bytes ${this.#at}-${this.#end - 1} of ${size ?? "?"}, the server sent ${what}`);
  }

  cancel(): void {
    this.#body?.cancel();
    this.#body = undefined;
  }

  /** The body broke off, or ended early, which without a length is the same: the next read requests the rest, unless this happens too often. */
  #lost(error: unknown): void {
    this.cancel();
    if (this.#at - this.#lostAt > RESUMED_WELL) this.#resumes = 0;
    this.#lostAt = this.#at;
    if (!this.#signal?.aborted && ++this.#resumes <= RESUMES) return;
    throw error instanceof LorafoldError ? new LorafoldError("fetch-failed", error.message, error.facts) : fetchFailed(this.#file.url, error, this.#signal);
  }

  async #ask(): Promise<StreamReader> {
    const { url, init, size } = this.#file;
    const last = this.#end - 1;
    const response = await request(url, { ...ranged(init, this.#at, last), signal: this.#signal ?? null }, this.#retryWait);
    try {
      const { status } = response;
      if (status === 200 || (status === 206 && !isRun(response))) {
        throw fileError("no-range-support", address(url), `the server does not answer ranged requests${status === 206 ? " by the file's own bytes (Content-Range, Content-Encoding)" : ""}`);
      }
      // The file was long enough when the plan was made.
      if (status === 416) throw fileError("source-changed", address(url), `the server has no bytes ${this.#at}-${last}`);
      if (status !== 206 || !response.body) throw await refused(url, response, init);
      const range = response.headers.get("content-range");
      if (range !== null && range !== `bytes ${this.#at}-${last}/${size ?? "*"}` && range !== `bytes ${this.#at}-${last}/*`) {
        throw this.#sent(JSON.stringify(range));
      }
      checkState(url, this.#file, response);
      // The listing did not ask the server for this file: from the first request on it must stay the same.
      if (this.#file.ranges === undefined) Object.assign(this.#file, stateOf(response));
    } catch (error) {
      discard(response);
      throw error;
    }
    return new StreamReader(address(url), response.body, (init?.network ?? NETWORK).stallTimeout);
  }
}
