import { createHash } from "node:crypto";
import { openReader } from "../sources/bind.js";
import type { Input } from "../sources/input.js";
import { MAX_REQUESTS, mapConcurrently } from "../sources/concurrency.js";
import { bindPath } from "./files.js";

/** What tells one state of an input from another, on whichever machine it is read. */
export interface InputState {
  name: string;
  state: string;
}

/** How much of a file is looked at: so many samples of so many bytes, evenly spread; a file that is no longer than all of them is read as a whole. */
const SAMPLES = 64;
const SAMPLE_BYTES = 4096;

/**
 * The states of all inputs: what a server calls them, and of files a hash of their size and of samples of them. Times of change and numbers of
 * files differ between copies on several machines; a model whose weights were trained on differs in nearly every sample.
 */
export function inputStates(inputs: readonly Input[]): Promise<InputState[]> {
  return mapConcurrently(inputs, MAX_REQUESTS, async (input) => {
    const { name, version, url, read, size } = input;
    if (url !== undefined || (read && version !== undefined)) return { name, state: version ?? `${size} bytes` };
    return { name, state: await sampled(input) };
  });
}

/** The name of the first input whose state is another. */
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
