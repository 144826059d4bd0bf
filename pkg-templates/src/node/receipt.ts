import { basename } from "node:path";
import type { PlannedFile } from "../sinks/sink.js";
import type { InputState } from "./input-states.js";

/** What a part that is done leaves in the folder. */
export interface Receipt {
  /** Of the plan: all parts of a merge have the same. */
  identity: string;
  part: number;
  of: number;
  files: PlannedFile[];
  /** Of what was read, when the part was begun. */
  inputs: InputState[];
  written: { file: string; start: number; end: number; sha256: string }[];
}

/** Most parts of one merge: each is a file, and all of them are looked at for each of them. */
export const MOST_PARTS = 10_000;

export const isPart = (part: unknown, of: unknown): boolean => isCount(part, 1, MOST_PARTS) && isCount(of, part, MOST_PARTS);

const isCount = (value: unknown, least: number, most: number): value is number => Number.isInteger(value) && least <= (value as number) && (value as number) <= most;

/** Whatever may have happened to the file: what says which bytes are checked must say it of all. */
export function isReceipt(value: unknown): value is Receipt {
  const { identity, part, of, files, inputs, written } = (value ?? {}) as Partial<Record<keyof Receipt, unknown>>;
  const sizes = new Map<unknown, number>();
  const isFile = ({ name, size }: PlannedFile) => typeof name === "string" && basename(name) === name && isCount(size, 0, Number.MAX_SAFE_INTEGER) && sizes.set(name, size);
  const isRun = ({ file, start, end, sha256 }: Receipt["written"][number]) => isCount(start, 0, end) && isCount(end, 0, sizes.get(file) ?? -1) && typeof sha256 === "string";
  const isState = ({ name, state }: InputState) => typeof name === "string" && typeof state === "string";
  return typeof identity === "string" && isPart(part, of) && isList(files, isFile) && files.length > 0 && isList(written, isRun) && isList(inputs, isState);
}

const isList = <T>(value: unknown, isOne: (one: T) => unknown): value is T[] => Array.isArray(value) && value.every((one) => typeof one === "object" && one !== null && isOne(one));
