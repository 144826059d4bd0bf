import { asLorafoldError, aborted, optionError, throwIfAborted, thrown, unlessAborted } from "../errors.js";
import type { Context } from "../context.js";
import { Factors } from "../lorafold.js";
import type { FactorsReport, FactorsRequest } from "../schema.js";
import { openSink } from "../sinks/open.js";
import { bind } from "../sources/bind.js";
import { hashed } from "../sources/hashed.js";
import type { BoundInput, Input } from "../sources/input.js";
import type { Sink } from "../sinks/sink.js";
import type { FactorsResult, MakeOptions } from "../types.js";
import { toPosted } from "../workers/protocol.js";
import { WorkerClient } from "../workers/worker-client.js";

/** What is made, of which inputs. */
export interface Making {
  request: FactorsRequest;
  inputs: Input[];
  directories: FileSystemDirectoryHandle[];
}

/** What was computed of a part: its outcome, and the values of A and of B. */
type Computed = Uint8Array<ArrayBuffer>[];

/** Bytes that are copied at a time. */
const STEP = 1 << 20;

/** Workers that start where the caller does not say how many. */
const MOST_WORKERS = 8;

/** Make the adapter that `request` describes, and write it to the output. */
export async function make(context: Context, { request, inputs, directories }: Making, options: MakeOptions): Promise<FactorsResult> {
  const { platform } = context;
  const { signal, onProgress, output = "blob", force = false } = options;
  if (onProgress !== undefined && typeof onProgress !== "function") throw optionError("onProgress", "not a function");
  const bound = inputs.map((input) => bind(input, platform.bindInput));
  let factors: Factors | undefined;
  // Whoever stops waiting leaves the work to end by itself: it must not lose what it works with before.
  let work: Promise<unknown> = Promise.resolve();
  const release = () => {
    factors?.free();
    for (const input of bound) input.close?.();
  };
  try {
    await context.engine();
    const opening = Factors.open(request, bound.map(hashed), signal);
    work = opening;
    const opened = (factors = await unlessAborted(opening, signal));
    const sink = await openSink(platform, output, force, { inputs, directories });
    try {
      await sink.check?.(["adapter_config.json", "adapter_model.safetensors"]);
      const parts = computeAll(context, opened, request, inputs, options);
      work = parts;
      const writing = write(opened, await unlessAborted(parts, signal), bound, sink, signal);
      work = writing;
      await unlessAborted(writing, signal);
      await platform.checkInputs?.(inputs);
      throwIfAborted(signal);
      const report: FactorsReport = opened.report();
      return { files: await sink.finish(), report };
    } catch (error) {
      await sink.abort();
      throw error;
    }
  } catch (error) {
    throw asLorafoldError(error);
  } finally {
    void work.then(release, release);
  }
}

/** Write both files, from beginning to end. */
async function write(factors: Factors, parts: Computed[], inputs: BoundInput[], sink: Sink, signal: AbortSignal | undefined): Promise<void> {
  factors.finish(parts.map(([outcome]) => outcome!));
  await sink.open(factors.files());
  await sink.write(0, 0, factors.config() as Uint8Array<ArrayBuffer>);
  let at = 0;
  const append = async (bytes: Uint8Array<ArrayBuffer>) => {
    throwIfAborted(signal);
    await sink.write(1, at, bytes);
    at += bytes.length;
  };
  await append(factors.header() as Uint8Array<ArrayBuffer>);
  for (const slot of factors.slots()) {
    if (slot.kind === "values") {
      await append(parts[slot.part]![slot.side + 1]!);
      continue;
    }
    for (let done = 0; done < slot.bytes; done += STEP) await append(await readFrom(inputs[slot.input]!, slot.start + done, Math.min(STEP, slot.bytes - done)));
  }
}

/** All parts, in their order: by workers, where there are some. */
async function computeAll(context: Context, factors: Factors, request: FactorsRequest, inputs: Input[], options: MakeOptions): Promise<Computed[]> {
  const { signal, onProgress } = options;
  const { platform } = context;
  const count = factors.parts;
  const elements = Array.from({ length: count }, (_, part) => factors.elements(part) * 4);
  const total = elements.reduce((sum, bytes) => sum + bytes, 0);
  const computed: Computed[] = [];
  let [next, bytes] = [0, 0];
  const loop = async (compute: (part: number) => Promise<Computed>) => {
    while (next < count) {
      throwIfAborted(signal);
      const part = next++;
      computed[part] = await compute(part);
      bytes += elements[part]!;
      if (!signal?.aborted) await onProgress?.({ bytes, total, file: factors.name(part) });
    }
  };
  // A server without ranges is read in one pass, so by one worker.
  const onePass = inputs.some((input) => input.ranges === false);
  const most = Math.max(1, Math.min(platform.processors(), MOST_WORKERS));
  const workers = platform.startWorker ? Math.min(onePass ? 1 : (options.workers ?? most), count) : 0;
  const clients = await startWorkers(context, inputs, workers);
  const stop = () => {
    for (const client of clients) client.stop(aborted(signal?.reason));
  };
  signal?.addEventListener("abort", stop, { once: true });
  try {
    if (clients.length === 0) await loop((part) => factors.compute(part) as Promise<Computed>);
    else await Promise.all(clients.map((client) => loop((part) => client.part(request, part))));
    return computed;
  } catch (error) {
    // The others take no more parts.
    next = count;
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
    for (const client of clients) client.stop(undefined);
  }
}

/** Workers that read the inputs. None where they cannot be had: then this thread computes. */
async function startWorkers({ platform, engine }: Context, inputs: Input[], count: number): Promise<WorkerClient[]> {
  const wasm = await engine();
  const clients: WorkerClient[] = [];
  try {
    const posted = inputs.map(toPosted);
    for (let worker = 0; worker < count; worker++) clients.push(new WorkerClient(platform.startWorker!(), wasm, inputs, posted, false));
    if ((await Promise.all(clients.map(({ loaded }) => loaded))).every(Boolean)) return clients;
  } catch (error) {
    if (thrown(error).name !== "DataCloneError") throw error;
  }
  for (const client of clients) client.stop(undefined);
  return [];
}

async function readFrom({ name, blob, read, readInto }: BoundInput, start: number, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
  if (readInto) {
    const view = new Uint8Array(bytes);
    readInto(view, start);
    return view;
  }
  const found = blob ? new Uint8Array(await blob.slice(start, start + bytes).arrayBuffer()) : await read!(start, start + bytes);
  if (found.length !== bytes) throw new Error(`${name} ends early`);
  return found as Uint8Array<ArrayBuffer>;
}
