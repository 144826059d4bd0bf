import { LorafoldError } from "./errors.js";
import { unref } from "./pause.js";
import { __wbg_reset_state as replaceInstance, initSync, limitMemory, outOfMemory, trapped } from "./lorafold.js";

/** What to do where the two do not fit. */
const SAME = "load both from the same release: a cache may hold an older file";

/** The WebAssembly of this thread. */
export interface Engine {
  /** To be posted to workers: compiled once. */
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

/**
 * The instance of this thread: the generated glue keeps one, whichever context asks. One that has trapped is replaced; what it held is lost.
 * `memoryBytes`: the most memory it may take, where that is limited.
 *
 * @throws {LorafoldError} `internal` where the module is of another version.
 */
export function instantiate(module: WebAssembly.Module, memoryBytes: number | undefined): Engine {
  try {
    initSync({ module });
    if (trapped()) replaceInstance();
    const { memory } = initSync({ module });
    if (memoryBytes !== undefined) limitMemory(memoryBytes);
    return { module, memory };
  } catch (error) {
    if (!(error instanceof WebAssembly.LinkError)) throw error;
    throw new LorafoldError("internal", `lorafold's WebAssembly and JavaScript are of different versions (${error.message}); ${SAME}`, { fix: SAME, detail: error });
  }
}

/** Milliseconds between two looks at whether asynchronous work has trapped: its promise would never settle. */
const LOOK = 100;

/** The promise of asynchronous work of the WebAssembly; an error if that traps. */
export async function settled<T>(work: Promise<T>): Promise<T> {
  let look: ReturnType<typeof setInterval> | undefined;
  const dead = new Promise<never>((_, reject) => {
    look = setInterval(() => {
      if (trapped()) reject(trapError());
    }, LOOK);
    // In Node: work that waits for ever (a source that never answers) must not keep the process from ending.
    unref(look);
  });
  try {
    return await Promise.race([work, dead]);
  } finally {
    clearInterval(look);
  }
}

/** The result of a call of the WebAssembly that is computed at once. */
export function called<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw error instanceof WebAssembly.RuntimeError ? trapError(error) : error;
  }
}

/** What a trap means: that memory ran out where nothing else could be done about it, or a mistake of lorafold's own. */
function trapError(detail?: unknown): LorafoldError {
  if (!outOfMemory()) return new LorafoldError("internal", "lorafold's WebAssembly has failed: what it held is lost, and the next call starts anew", { detail });
  const message = "lorafold's WebAssembly has no memory left for this model: what it held is lost, and the next call starts anew";
  return new LorafoldError("limit-exceeded", message, { kind: "no-memory", detail });
}

/** Whether `memory` is that of this thread's instance, and the instance has not trapped. */
export function isAlive(memory: WebAssembly.Memory): boolean {
  // Once there is an instance, the glue gives it whatever the module.
  return !trapped() && initSync({ module: undefined as never }).memory === memory;
}
