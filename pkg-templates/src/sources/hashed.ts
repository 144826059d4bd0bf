import type { BoundInput } from "./input.js";

/** The largest file, in bytes, that is read into memory to be hashed by the browser. */
const HASHED_WHOLE = 256 << 20;

/** Let the browser hash the file, which is many times faster than WebAssembly. Pages without HTTPS have no `crypto.subtle`. */
export function hashed(input: BoundInput): BoundInput {
  const { blob, bytes, size = 0 } = input;
  if (!(blob || bytes) || !globalThis.crypto?.subtle || size > HASHED_WHOLE) return input;
  const sha256 = async () => {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes ?? (await blob!.arrayBuffer())));
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
  return { ...input, sha256 };
}
