import type { ByteReader } from "./reader.js";
import type { RemoteInput } from "./remote.js";
import type { RetryWait } from "./request.js";

/** One input file. Exactly one of the ways to read it is given: `blob`, `bytes`, `url`, `path`, or functions. */
export interface Input extends Partial<RemoteInput> {
  name: string;
  blob?: Blob;
  /** The whole file, where it is held in the memory of this thread. */
  bytes?: Uint8Array<ArrayBuffer>;
  /** A file in Node. */
  path?: string;
  read?: (start: number, end: number) => Promise<Uint8Array>;
  stream?: (start: number, end: number) => ReadableStream<Uint8Array>;
  /** The hash of its content, where the listing has one. It identifies the file in plans; the `version` of a server may differ between servers. */
  oid?: string;
  /** The SHA-256 of the whole file in hex, where the listing has it. */
  digest?: string;
  /** The same, computed by the platform. */
  sha256?: () => Promise<string>;
}

/** An input that this thread can read. */
export interface BoundInput extends Input {
  /** Fill a view synchronously. */
  readInto?: (view: Uint8Array, start: number) => void;
  /** A reader of bytes `start` up to `end`. */
  open?: (start: number, end: number, signal?: AbortSignal, retryWait?: RetryWait) => ByteReader;
  /** Close the files and connections of the readers. */
  close?: () => void;
}

/** A folder: its name and its files. */
export interface Listing {
  name: string;
  files: Input[];
  /** Names of the folders inside it, without hidden ones. They are not read. */
  folders?: string[];
  /** Where it can be had again, for the recipe: `hf://org/name@commit`. */
  origin?: string;
}

/** What a source is used for: it decides which file names are tried behind a URL that cannot be listed. */
export type Role = "base" | "adapter";
