import { type Env, numberOf } from "./env.js";

/** R2's rules: parts of equal size except the last one, no more than so many of them, none but the last smaller than so much. */
const MOST_PARTS = 10_000;
const SMALLEST = 5 << 20;

/** How a file is cut. */
export interface Cut {
  /** How many parts; none for a small file, which is written as a whole at the end. */
  parts: number;
  partSize: number;
}

/** Weights are always uploaded in parts, for nothing of them may be seen before all are there; other files only when they are large. */
export function cut({ name, size }: { name: string; size: number }, { PART_MIB }: Env): Cut {
  const wanted = Math.max(SMALLEST, Math.round(numberOf(PART_MIB, 64) * 2 ** 20));
  const least = Math.ceil(Math.ceil(size / MOST_PARTS) / 2 ** 20) * 2 ** 20;
  const partSize = Math.max(wanted, least);
  const small = size === 0 || (!name.endsWith(".safetensors") && size <= SMALLEST);
  return { partSize, parts: small ? 0 : Math.ceil(size / partSize) };
}

/** The bytes of part `part`, which are counted from 1. */
export function rangeOf({ size, partSize }: { size: number; partSize: number }, part: number): { start: number; end: number } {
  const start = (part - 1) * partSize;
  return { start, end: Math.min(start + partSize, size) };
}
