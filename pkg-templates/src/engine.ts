import { LorafoldError, outOfMemory } from "./errors.js";
import { __wbg_reset_state as replaceInstance, initSync, limitMemory, trapped } from "./lorafold.js";
import type { Platform } from "./platform.js";

/** The WebAssembly of this thread. */
export interface Engine {
  /** To be posted to workers: compiled once. */
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

/**
 * The instance of this thread: the generated glue keeps one, whichever context asks. One that has trapped is replaced; what it held is lost.
 *
 * @throws {LorafoldError} `internal` where the module is of another version.
 */
export function instantiate(module: WebAssembly.Module, { memoryBytes }: Pick<Platform, "memoryBytes">): Engine {
  try {
    initSync({ module });
    if (trapped()) replaceInstance();
    const { memory } = initSync({ module });
    if (memoryBytes !== undefined) limitMemory(memoryBytes);
    return { module, memory };
  } catch (error) {
    if (!(error instanceof WebAssembly.LinkError)) throw error;
    throw new LorafoldError("bad-option", `this WebAssembly belongs to another version of lorafold: ${error.message}`, { detail: error });
  }
}

/** Milliseconds between two looks at whether asynchronous work has trapped: its promise would never settle. */
const LOOK = 100;

/** The promise of asynchronous work of the WebAssembly; an error if that traps. */
export async function settled<T>(work: Promise<T>): Promise<T> {
  let look: ReturnType<typeof setInterval> | undefined;
  const dead = new Promise<never>((_, reject) => {
    look = setInterval(() => {
      if (trapped()) reject(outOfMemory());
    }, LOOK);
  });
  try {
    return await Promise.race([work, dead]);
  } finally {
    clearInterval(look);
  }
}

/** Whether `memory` is that of this thread's instance, and the instance has not trapped. */
export function isAlive(memory: WebAssembly.Memory): boolean {
  // Once there is an instance, the glue gives it whatever the module.
  return !trapped() && initSync({ module: undefined as never }).memory === memory;
}
