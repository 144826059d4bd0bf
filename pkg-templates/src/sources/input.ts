import type { ByteReader } from "./reader.js";
import type { RemoteInput } from "./remote.js";
import type { Rest } from "./request.js";

/** One input file. Exactly one of the ways to read it is given: `blob`, `url`, `path`, or functions. */
export interface Input extends Partial<RemoteInput> {
  name: string;
  blob?: Blob;
  /** A file in Node. */
  path?: string;
  read?: (start: number, end: number) => Promise<Uint8Array>;
  stream?: (start: number, end: number) => ReadableStream<Uint8Array>;
  /** The name of its content, where the listing says it: what is planned from it is known by that, not by what a server says of its state. */
  oid?: string;
  /** The platform's own hash of the whole file, in hex. */
  sha256?: () => Promise<string>;
}

/** An input with readers of this thread's own. */
export interface BoundInput extends Input {
  /** Fill a view at once. */
  readInto?: (view: Uint8Array, start: number) => void;
  /** A reader of a run of bytes. */
  open?: (start: number, end: number, signal?: AbortSignal, rest?: Rest) => ByteReader;
  /** Give back what the readers hold. */
  close?: () => void;
}

/** A folder: its name and its files. */
export interface Listing {
  name: string;
  files: Input[];
  /** Folders inside it, which are not read; hidden ones are nobody's business. */
  folders?: string[];
}

/** What a source will be used for: URLs without a listing are asked for other names. */
export type Role = "base" | "adapter";
