/** The public types of lorafold. */
import type { AbortSignal, Blob, File, FileList, FileSystemDirectoryHandle, ReadableStream, Request, Response, URL, WritableStream } from "./globals.js";

/** Random access to a folder of files, wherever they are. */
export interface Source {
  /** The files of the folder. `version` (an ETag, say) tells one state of a file from another, where that is known. */
  list(): Promise<{ name: string; size: number; version?: string }[]>;
  /** Bytes `start` up to `end` (exclusive) of a file, in the state that was listed as `version`, where one was. */
  read(name: string, start: number, end: number, version?: string): Promise<Uint8Array>;
  /** The same bytes as a stream. */
  stream?(name: string, start: number, end: number, version?: string): ReadableStream<Uint8Array>;
}

/** A URL whose requests need headers of their own, such as `Authorization`. */
export interface RemoteFolder {
  url: string | URL;
  headers?: Record<string, string>;
}

/**
 * Where a base or an adapter is: a file or files, a directory handle, a URL (`https://…` of a file or a folder,
 * `hf://org/name@revision`), a source of your own, and in Node a path.
 */
export type SourceLike = Blob | File | readonly File[] | FileList | FileSystemDirectoryHandle | URL | string | RemoteFolder | Source;

/** One adapter and how it enters the merge. */
export interface AdapterOptions {
  source: SourceLike;
  /** Factor on the whole delta, any finite number; 1 by default. */
  weight?: number;
  /** What errors and the report call it; by default the name of its folder. */
  name?: string;
  /** Replaces the `lora_alpha` of its configuration. */
  alpha?: number;
}

/** Where the merged model goes. */
export type Output =
  /** Blobs in the result: the default. */
  | "blob"
  /** The origin's private file system, for models larger than memory. */
  | "opfs"
  /** A folder that the user picked. */
  | FileSystemDirectoryHandle
  /** A stream for every file, written from beginning to end, one file after another. */
  | ((file: { name: string; size: number }) => WritableStream<Uint8Array> | Promise<WritableStream<Uint8Array>>)
  /** A folder, in Node. */
  | (string & {});

/** Progress of a merge. */
export interface Progress {
  /** Bytes of output done. */
  bytes: number;
  /** Bytes of output in all. */
  total: number;
  /** The file that the latest bytes belong to. */
  file: string;
}

/** What {@link plan} needs. */
export interface PlanOptions {
  base: SourceLike;
  adapters: readonly (SourceLike | AdapterOptions)[];
  /** How several deltas combine. Only `linear`, the exact weighted sum, so far. */
  method?: "linear";
  /** Type of the floating-point tensors of the output; `keep` (default) keeps every tensor's own. */
  dtype?: "keep" | "float32" | "float16" | "bfloat16";
  /** How sums are rounded to the output's type. Only `nearest` (to even) so far. */
  rounding?: "nearest";
  /** Merge only tensors whose name this regular expression finds something in. */
  only?: string;
  /** Do not merge tensors whose name this regular expression finds something in. */
  skip?: string;
  /** Largest size of an output shard in bytes; by default the base's shards are kept. */
  maxShardSize?: number;
  /** Adapter keys and patterns that match nothing become findings instead of errors. */
  allowUnmatched?: boolean;
  /** Stops the work. */
  signal?: AbortSignal;
}

/** What {@link merge} needs. */
export interface MergeOptions extends PlanOptions {
  output?: Output;
  /** Number of workers; 0 computes in the calling thread. By default one for each processor, eight at most. */
  workers?: number;
  /** Bytes of WebAssembly memory that each worker may use beside the factors of one tensor; 64 MiB by default. */
  memoryBudget?: number;
  /** Told after each piece of the output. */
  onProgress?: (progress: Progress) => void;
  /** Values may become infinite or NaN in the output's type. */
  allowNonfinite?: boolean;
  /** Statistics of every merged tensor in the report. They take time (up to as much again at low ranks), so they are off by default. */
  statistics?: boolean;
  /** Replace a model that is already in the output folder. */
  force?: boolean;
}

/** What {@link openMerged} needs. */
export interface OpenOptions extends PlanOptions {
  /** Values may become infinite or NaN in the output's type. */
  allowNonfinite?: boolean;
}

/** One file of a merged model that was never written. */
export interface VirtualFile {
  name: string;
  size: number;
  /** A strong entity tag: another one for other inputs, weights, options or versions of the base's files. */
  etag: string;
}

/** Options of a read. */
export interface ReadOptions {
  /** Ends the read, and those of the base behind it. */
  signal?: AbortSignal;
}

/** Options of an answer. */
export interface ResponseOptions {
  /** Is given what ends the answer early, before its first byte or later: clients are not told where the base is, but a log may be. */
  onError?: (error: unknown) => void;
}

/** A merged model that was never written: every byte is computed when it is read, and equals that of the merged file. */
export interface MergedModel {
  readonly files: readonly VirtualFile[];
  /** What was decided; see {@link plan}. */
  readonly report: Report;
  /**
   * Bytes `start` up to `end` of a file, by default all of it.
   *
   * @throws {LorafoldError} `source-changed` when the base is not what it was when the model was opened.
   */
  read(name: string, start?: number, end?: number, options?: ReadOptions): Promise<Uint8Array<ArrayBuffer>>;
  /** The same bytes as a stream, computed as it is read. */
  stream(name: string, start?: number, end?: number, options?: ReadOptions): ReadableStream<Uint8Array<ArrayBuffer>>;
  /**
   * The answer to a GET or HEAD request for the file that the last part of its path names: `Range` (one range), `If-Range`, `If-Match`,
   * `If-None-Match`; 200, 206, 304, 404, 405, 412, 416, and 502 or 503 where the base fails. What failed the client learns by its code alone.
   */
  response(request: Request, options?: ResponseOptions): Promise<Response>;
  /** Whether a read has ended with `source-changed`: the model is to be opened anew, for it stays as it was planned. */
  readonly changed: boolean;
  /** Give the memory back, at once: reads that are under way fail. */
  close(): void;
  /** Give the memory back when the reads that are under way have ended. A stream has when it is read to its end, fails or is cancelled. */
  release(): void;
}

/** One file of the merged model. */
export interface MergedFile {
  name: string;
  size: number;
  /** The file's bytes; not for outputs that were streams. */
  blob(): Promise<Blob>;
  /** The same from the beginning, block by block. */
  stream(): ReadableStream<Uint8Array>;
}

/** What a merge gives. */
export interface MergeResult {
  files: MergedFile[];
  report: Report;
}

/** Something the user should know, short of an error. */
export interface Finding {
  level: "info" | "warning";
  code: string;
  message: string;
  adapter?: string;
  tensor?: string;
}

/** What a merge did to the numbers of one tensor. */
export interface TensorStatistics {
  /** ‖ΔW‖; `null`, as all others, where it is not known: sums beyond what can be added up, results that overflowed. */
  deltaNorm: number | null;
  /** ‖W‖ */
  baseNorm: number | null;
  /** ‖ΔW‖/‖W‖ */
  relativeNorm: number | null;
  /** The largest |ΔW|. */
  maxDelta: number;
  /** Share of elements whose stored bits changed. */
  changed: number | null;
  /** Share of ‖ΔW‖² that survives rounding: ⟨stored change, ΔW⟩/‖ΔW‖². */
  signalKept: number | null;
}

/** One tensor in the report. */
export interface TensorReport {
  name: string;
  /** Bytes as they were, another type, or deltas added. */
  action: "copy" | "convert" | "merge";
  shape: number[];
  dtype: string;
  outputDtype: string;
  /** The base stores (in, out), as GPT-2's Conv1D does. */
  transposed?: boolean;
  adapters?: { adapter: string; rank: number; alpha: number; scale: number; weight: number }[];
  statistics?: TensorStatistics;
}

/** One adapter in the report. */
export interface AdapterReport {
  name: string;
  weight: number;
  type: "LORA";
  rslora: boolean;
  baseModel: string | null;
  /** Modules the adapter has factors for, and how many of them are merged. */
  modules: number;
  matched: number;
  /** Each scale it has, why, and for how many tensors. */
  scales: { rank: number; alpha: number; scale: number; why: string; tensors: number }[];
}

/** What was decided, and, after a merge, what it did. */
export interface Report {
  lorafold: string;
  base: { name: string; tensors: number };
  adapters: AdapterReport[];
  /** Tensors that deltas are added to. */
  merged: number;
  files: { name: string; size: number }[];
  outputBytes: number;
  tensors: TensorReport[];
  findings: Finding[];
  /** What the merged files record of their making. */
  recipe: Record<string, unknown>;
}

/** What {@link inspect} says of a base or a merged model. */
export interface ModelDescription {
  kind: "base" | "merged";
  name: string;
  modelType: string | null;
  tied: boolean | null;
  parameters: number;
  dtypes: Record<string, { tensors: number; bytes: number }>;
  files: { name: string; tensors: number }[];
  metadata: Record<string, string>;
  recipe: Record<string, unknown> | null;
  tensors: { name: string; dtype: string; shape: number[]; bytes: number; file: string }[];
}

/** What {@link inspect} says of an adapter. */
export interface AdapterDescription {
  kind: "adapter";
  name: string;
  type: "LORA";
  convention: "peft";
  r: number;
  alpha: number;
  rslora: boolean;
  baseModel: string | null;
  files: { name: string; sha256: string }[];
  modules: { module: string; rank: number; alpha: number; scale: number; inputs: number; outputs: number; dtype: string }[];
}

/** What {@link inspect} gives. */
export type Description = ModelDescription | AdapterDescription;
