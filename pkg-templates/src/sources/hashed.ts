import { fileError } from "../errors.js";
import type { BoundInput } from "./input.js";

/** The largest file, in bytes, that is read into memory to be hashed by the browser. */
const HASHED_WHOLE = 256 << 20;

/** Let the browser hash the file, which is many times faster than WebAssembly. Pages without HTTPS have no `crypto.subtle`. */
export function hashed(input: BoundInput): BoundInput {
  const { name, blob, bytes, size = 0, digest } = input;
  if (!(blob || bytes) || !globalThis.crypto?.subtle || size > HASHED_WHOLE) return input;
  const sha256 = async () => {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes ?? (await blob!.arrayBuffer())));
    const found = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (digest !== undefined && found !== digest) throw fileError("source-changed", name, `its sha256 is ${found}, and not ${digest} as its listing says`, { found, expected: digest });
    return found;
  };
  return { ...input, sha256 };
}
