import type { PlainError } from "../errors.js";

/** What the writer of the private file system is told. */
export type ToWriter = { id: number } & (
  | { type: "open"; path: string[]; files: string[] }
  | { type: "write"; file: number; at: number; bytes: ArrayBuffer | Blob }
  | { type: "close" }
);

/** Its answer to each. */
export interface FromWriter {
  id: number;
  /** Of `open`: other workers may write to the files, too. */
  shared?: boolean;
  error?: PlainError;
}
