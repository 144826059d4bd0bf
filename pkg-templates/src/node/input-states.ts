import { createHash } from "node:crypto";
import { openReader } from "../sources/bind.js";
import type { Input } from "../sources/input.js";
import { Turns } from "../sources/turns.js";
import { bindPath } from "./files.js";

/** The version of an input, the same on every machine. */
export interface InputState {
  name: string;
  state: string;
}

/** How many samples of a file are hashed, and of how many bytes each. A file that is no longer than all samples together is hashed whole. */
const SAMPLES = 64;
const SAMPLE_BYTES = 4096;

/**
 * The states of all inputs: the version that a server gives, and for files a hash of their size and of evenly spread samples. Modification times
 * and inodes differ between copies on several machines; further training changes nearly every sample.
 */
export function inputStates(inputs: readonly Input[]): Promise<InputState[]> {
  return new Turns().all(inputs, async (input) => {
    const { name, version, url, read, size } = input;
    if (url !== undefined || (read && version !== undefined)) return { name, state: version ?? `${size} bytes` };
    return { name, state: await sampled(input) };
  });
}

/** The name of the first input whose state is not the same in both. */
export function changedInput(before: readonly InputState[], now: readonly InputState[]): string | undefined {
  return now.find(({ name, state }, number) => before[number]?.name !== name || before[number].state !== state)?.name;
}

async function sampled(input: Input): Promise<string> {
  const { size = 0 } = input;
  const hash = createHash("sha256").update(`${size} bytes\n`);
  const bound = bindPath(input) ?? input;
  const whole = size <= SAMPLES * SAMPLE_BYTES;
  const bytes = whole ? size : SAMPLE_BYTES;
  for (let sample = 0; sample < (whole ? 1 : SAMPLES); sample++) {
    const start = whole ? 0 : Math.floor(((size - bytes) * sample) / (SAMPLES - 1));
    const reader = openReader(bound, start, start + bytes);
    try {
      hash.update(await reader.take(bytes));
    } finally {
      reader.cancel();
    }
  }
  return hash.digest("hex");
}
