import { readFileSync } from "node:fs";
import { fileError } from "../errors.js";

/**
 * The bytes of the second half of the WebAssembly, by the address of its file: most merges do not need it, and compiling it takes as long as a small merge.
 *
 * @throws {LorafoldError} `fetch-failed` where it cannot be read.
 */
export function readRest(url: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(readFileSync(new URL(url)));
  } catch (detail) {
    const fix = "install the package again";
    throw fileError("fetch-failed", url, "the second half of lorafold's WebAssembly could not be read", { fix, detail });
  }
}
