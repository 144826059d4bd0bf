/** The public types of lorafold. */
import type { AdapterSettings, CombineSettings, ExtractSettings, FactorsReport, PlanSettings, Report } from "./schema.js";
import type { Receipt, ReceiptMetadata } from "./provenance/types.js";
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

/**
 * A URL whose requests need headers of their own, such as `Authorization`.
 *
 * @example
 * ```ts
 * import { plan, type RemoteFolder } from "lorafold";
 *
 * const base: RemoteFolder = { url: "https://models.example/base/", headers: { Authorization: "Bearer …" } };
 * await plan({ base, adapters: ["https://models.example/adapter/"] });
 * ```
 */
export interface RemoteFolder {
  url: string | URL;
  headers?: Record<string, string>;
}

/**
 * Where a base or an adapter is: a file or files, a directory handle, a URL (`https://…` of a file or a folder), a model of the hub
 * (`hf://org/name@revision`, `hf://org/name/folder`, `org/name`, the address of its page), a source of your own, and in Node a path, which counts first.
 */
export type SourceLike = Blob | File | readonly File[] | FileList | FileSystemDirectoryHandle | URL | string | RemoteFolder | Source;

/** Which hub is asked for models, and as whom. */
export interface HubOptions {
  /** The hub, or a mirror of it. In Node, `HF_ENDPOINT` by default. */
  endpoint?: string;
  /**
   * A token, which is sent to the hub alone. In Node, by default that of the user: `HF_TOKEN`, or the file that the hub's own command line writes. `false`: none.
   */
  token?: string | false;
}

/** Options of {@link inspect}. */
export interface InspectOptions {
  /** Stops the work. */
  signal?: AbortSignal;
  /** Which hub is asked, and as whom. */
  hub?: HubOptions;
  /**
   * Hash the weight files of a model whose source knows no hash: a read of all of them.
   *
   * @default false
   */
  hash?: boolean;
}

/**
 * One adapter and how it enters the merge.
 *
 * @example
 * ```ts
 * import { merge } from "lorafold";
 *
 * const style = { source: "adapters/style", weight: 0.8, name: "style" };
 * await merge({ base: "models/base", adapters: [style, { source: "adapters/detail", weight: -0.3 }] });
 * ```
 */
export interface AdapterOptions extends Omit<AdapterSettings, "only" | "skip"> {
  source: SourceLike;
  /** Merge of this adapter only what changes tensors whose name matches one of these patterns somewhere. */
  only?: string | string[];
  /** Leave out of this adapter what changes tensors whose name matches one of these patterns somewhere. */
  skip?: string | string[];
  /**
   * What errors and the report call it.
   *
   * @default the name of its folder
   */
  name?: string;
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
export interface PlanOptions extends PlanSettings {
  /** The model that the adapters were trained on. */
  base: SourceLike;
  /** At least one, each a source or a source with a weight. */
  adapters: readonly (SourceLike | AdapterOptions)[];
  /** Which hub is asked for models, and as whom. */
  hub?: HubOptions;
  /** Stops the work. */
  signal?: AbortSignal;
}

/**
 * What {@link merge} needs.
 *
 * @example
 * ```ts
 * import { merge, type MergeOptions } from "lorafold";
 *
 * const options: MergeOptions = {
 *   base: "hf://org/model",
 *   adapters: [{ source: "hf://org/lora", weight: 0.8 }],
 *   dtype: "bfloat16",
 *   onProgress: ({ bytes, total }) => console.log(`${Math.floor((100 * bytes) / total)} %`),
 * };
 * const { files, report } = await merge(options);
 * ```
 */
export interface MergeOptions extends PlanOptions {
  /**
   * Where the merged model goes.
   *
   * @default "blob"
   */
  output?: Output;
  /**
   * Number of workers; 0 computes in the calling thread, and plans there.
   *
   * @default one for each processor, eight at most
   */
  workers?: number;
  /**
   * Bytes of WebAssembly memory that each worker may use beside the factors of one tensor.
   *
   * @default 67108864 (64 MiB)
   */
  memoryBudget?: number;
  /** Told after each piece of the output. */
  onProgress?: (progress: Progress) => void;
  /**
   * Values may become infinite or NaN in the output's type.
   *
   * @default false
   */
  allowNonfinite?: boolean;
  /**
   * Statistics of every merged tensor in the report. They take time: up to as much again at low ranks.
   *
   * @default false
   */
  statistics?: boolean;
  /**
   * Replace a model that is already in the output folder.
   *
   * @default false
   */
  force?: boolean;
  /**
   * Give a receipt: an in-toto statement with the hashes of all files, inputs and outputs, from which the merge can be repeated. It contains no time unless you
   * give one here. Files of the base whose hash nobody knows are read once more, as for `hashBase`, and so is the output, unless it is streams.
   *
   * @default false
   */
  receipt?: boolean | ReceiptMetadata;
}

/** What {@link Api.repeat} needs beside a receipt. */
export interface RepeatOptions {
  /** Where the base is, if not where the receipt has it from. */
  base?: SourceLike;
  /** Where the adapters are, in their order, if not where the receipt has them from. */
  adapters?: readonly SourceLike[];
  /** A merged model whose files are compared, too. */
  merged?: SourceLike;
  /** Number of workers; see {@link MergeOptions}. */
  workers?: number;
  /** Which hub is asked for models, and as whom. */
  hub?: HubOptions;
  /** Told after each piece of the repeated merge. */
  onProgress?: (progress: Progress) => void;
  /** Stops the work. */
  signal?: AbortSignal;
}

/** Whether a merge that is repeated gives what its receipt says. */
export interface RepeatResult {
  /** Whether every file has the hash that the receipt says, and no file is missing or one too many. */
  same: boolean;
  files: RepeatedFile[];
}

/** A file of a repeated merge. Hashes are SHA-256 in hex. */
export interface RepeatedFile {
  name: string;
  /** What the receipt says; `null` where it has no such file. */
  expected: string | null;
  /** What the repeated merge gave; `null` where it has no such file. */
  repeated: string | null;
  /** What the given merged model has, where one was given. */
  merged?: string | null;
  same: boolean;
}

/** What {@link verify} needs: the merge that is expected, and the model that is to be it. `dtype`, `maxShardSize` and `tokenizer` do not matter. */
export interface VerifyOptions extends PlanOptions {
  /** The merged model, whoever made it. */
  merged: SourceLike;
  /**
   * Number of workers; 0 computes in the calling thread.
   *
   * @default one for each processor, eight at most
   */
  workers?: number;
  /** Told after each step: tensors that are judged, and all. */
  onProgress?: (progress: { tensors: number; total: number }) => void;
}

/** What {@link unmerge} needs. */
export interface UnmergeOptions extends Omit<MergeOptions, "base" | "unmerge"> {
  /** The merged model. */
  merged: SourceLike;
}

/** What {@link unmerge} gives. */
export interface UnmergeResult extends MergeResult {
  /**
   * Tensors that cannot be restored exactly, because the roundings of the merge have lost bits: how many of their elements are not what they were when
   * the result is merged again. Not for outputs that were streams.
   */
  inexact?: { name: string; elements: number; inexact: number }[];
}

/** What {@link openMerged} needs. */
export interface OpenOptions extends PlanOptions {
  /**
   * Values may become infinite or NaN in the output's type.
   *
   * @default false
   */
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
  /** What was decided; see {@link plan}. Its tensors are to be read before the model is closed. */
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
  /** The receipt, where one was asked for. */
  receipt?: Receipt;
  /** Its tensors are listed when they are read for the first time. */
  report: Report;
}

/** What {@link combine} and {@link extract} both take. */
export interface MakeOptions {
  /** Which hub is asked, and as whom. */
  hub?: HubOptions;
  /** Stops the work. */
  signal?: AbortSignal;
  /**
   * Where the adapter goes: `adapter_config.json` and `adapter_model.safetensors`.
   *
   * @default "blob"
   */
  output?: Output;
  /**
   * Number of workers; 0 computes in the calling thread.
   *
   * @default one for each processor, eight at most
   */
  workers?: number;
  /** Told after each module. Bytes are those of the modules' weights in float32. */
  onProgress?: (progress: Progress) => void;
  /**
   * Replace an adapter that is already in the output folder.
   *
   * @default false
   */
  force?: boolean;
}

/**
 * What {@link combine} needs.
 *
 * @example
 * ```ts
 * import { combine, type CombineOptions } from "lorafold";
 *
 * const options: CombineOptions = { adapters: [{ source: "adapters/style", weight: 0.7 }, "adapters/detail"], method: "svd", rank: 16, output: "adapters/both" };
 * const { report } = await combine(options);
 * for (const { module, rank, energy } of report.modules) console.log(module, rank, energy);
 * ```
 */
export interface CombineOptions extends CombineSettings, MakeOptions {
  /** At least one, each a source or a source with a weight. One alone is resized. */
  adapters: readonly (SourceLike | AdapterOptions)[];
  /**
   * The base that they were trained on. Only its headers are read: files of some methods (VeRA, RandLoRA, MiSS) do not tell both sides of a layer, and
   * others not whether it is a convolution.
   */
  base?: SourceLike;
}

/**
 * What {@link extract} needs.
 *
 * @example
 * ```ts
 * import { extract, type ExtractOptions } from "lorafold";
 *
 * const options: ExtractOptions = { base: "models/base", tuned: "models/tuned", rank: 32, output: "adapters/tuned" };
 * const { report } = await extract(options);
 * console.log(report.others.map(({ tensor, saved }) => `${tensor}: ${saved ? "saved" : "left out"}`));
 * ```
 */
export interface ExtractOptions extends ExtractSettings, MakeOptions {
  /** The model before it was trained. */
  base: SourceLike;
  /** The model after it was trained, with the same tensors. */
  tuned: SourceLike;
}

/** What {@link combine} and {@link extract} give. */
export interface FactorsResult {
  files: MergedFile[];
  report: FactorsReport;
}

export type { Receipt, ReceiptMetadata, ReceiptParameters, ResourceDescriptor } from "./provenance/types.js";
export type {
  AdapterDescription, AdapterReport, AdapterSettings, BaseReport, CombineSettings, DeltaReport, Description, DtypeTotal, Evidence, ExpectedAdapter, ExtractSettings,
  FactorsModule, FactorsOther, FactorsReport, FileDigest, FileSize, Finding, Instead, InsteadCount, ModelDescription, ModuleDescription, ModuleWeight,
  PlanSettings, Recipe, RecipeAdapter, RecipeBase, RecipeFile, RecipeScale, Report, ScaleReport, Signal, TensorDescription, TensorReport,
  TensorStatistics, TensorVerdict, TotalSignal, UpdateReport, Verdict, VerdictCounts, VerifyReport, WeightFile,
} from "./schema.js";
