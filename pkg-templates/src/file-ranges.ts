import type { PlannedFile } from "./sinks/sink.js";

/** Bytes `start` up to `end` of an output file. */
export interface FileRange {
  file: number;
  start: number;
  end: number;
}

/** Shares begin at multiples of this many bytes, so that no element is cut and no two of them write to the same page of memory. */
const ALIGNMENT = 1 << 20;

/** Every byte of the files. */
export const wholeFiles = (files: readonly PlannedFile[]): FileRange[] => files.map(({ size }, file) => ({ file, start: 0, end: size }));

/** The ranges of share number `part`, counted from 1, of `of`: all ranges one after another, cut evenly. An empty one belongs to the share that it lies in. */
export function shareOf(ranges: readonly FileRange[], part: number, of: number): FileRange[] {
  const total = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  const cut = (number: number) => (number === of ? Number.POSITIVE_INFINITY : Math.round((total * number) / of / ALIGNMENT) * ALIGNMENT);
  const [from, to] = [cut(part - 1), cut(part)];
  const share: FileRange[] = [];
  let at = 0;
  for (const { file, start, end } of ranges) {
    const size = end - start;
    const [first, last] = [Math.max(from - at, 0), Math.min(to - at, size)];
    if (first < last || (size === 0 && from <= at && at < to)) share.push({ file, start: start + Math.min(first, size), end: start + last });
    at += size;
  }
  return share;
}
