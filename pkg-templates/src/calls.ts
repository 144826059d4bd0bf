import { LorafoldError, thrown } from "./errors.js";
import { ref, unref } from "./pause.js";
import { loadRest } from "./rest.js";

/**
 * Every call into the WebAssembly goes through here (`glue.mjs` sees to it): those of the exported classes, those that make room for their
 * arguments, and those by which the event loop goes on with asynchronous work. A call that ends by an exception has ended in the middle:
 * an allocation that Rust cannot report has failed, say. Then the instance is **broken**: it is not entered again, whoever waits for it hears why,
 * and the next request gets a new one (`engine.ts`).
 */
interface Instance {
  readonly exports: WebAssembly.Exports;
  readonly memory: WebAssembly.Memory;
  /** What broke it. */
  broken?: { error: unknown };
  /** Timers of those who wait for asynchronous work. */
  readonly looks: Set<unknown>;
}

/** That of this thread: the generated glue keeps one. */
let current: Instance | undefined;

/** What the latest broken instance of this thread died of. */
let latest: { error: unknown } | undefined;

/** Calls that no caller of ours waits for. Nobody could catch what they throw, and an uncaught exception ends the process in Node. */
const UNAWAITED = /closure|_free$/;

type Call = (...args: unknown[]) => unknown;

/** The exports of a new instance, which from now on is that of this thread. */
export function guarded(exports: WebAssembly.Exports): WebAssembly.Exports {
  const instance: Instance = { exports, memory: exports.memory as WebAssembly.Memory, looks: new Set() };
  current = instance;
  const guard = (name: string, call: Call): Call => {
    const unawaited = UNAWAITED.test(name);
    return (...args) => {
      try {
        if (!instance.broken) {
          const result = call(...args);
          // A call of JavaScript that called back may have broken it.
          if (!instance.broken) return result instanceof Promise ? settled(instance, result) : result;
        }
      } catch (error) {
        if (!instance.broken) fail(instance, meaning(error, exports));
      }
      // The glue looks for an error in what a closure returns.
      if (unawaited) return [];
      throw instance.broken!.error;
    };
  };
  // What the rest of the module calls, it calls directly.
  const wrapped = Object.entries(exports).filter(([name]) => !name.startsWith("$")).map(([name, value]) => [name, typeof value === "function" ? guard(name, value as Call) : value]);
  return Object.fromEntries(wrapped) as WebAssembly.Exports;
}

/** The rest of the module for this thread's instance, which has called into it. */
export function rest(imports: WebAssembly.ModuleImports): WebAssembly.ModuleImports {
  return { load: () => loadRest(current!.exports, imports) };
}

function fail(instance: Instance, error: unknown): void {
  latest = instance.broken = { error };
  // Those who wait are to hear of it before the process may end.
  instance.looks.forEach(ref);
}

/** What a call of an object of an instance that is no more throws. */
export function stale(): unknown {
  return latest?.error ?? new LorafoldError("internal", "an object of another instance of lorafold's WebAssembly was used");
}

/** Whether `memory` is that of this thread's instance, and the instance is not broken. */
export function isAlive(memory: WebAssembly.Memory): boolean {
  return current?.memory === memory && !current.broken;
}

/** Milliseconds between two looks at whether the instance is broken: the promise of asynchronous work would never settle. */
const LOOK = 100;

/** Asynchronous work; an error where the instance breaks meanwhile, in this work or in another. */
async function settled<T>(instance: Instance, work: Promise<T>): Promise<T> {
  let look: ReturnType<typeof setInterval> | undefined;
  // A timer of its own: in workerd a request that another one wakes may not use its own objects.
  const dead = new Promise<never>((_, reject) => {
    look = setInterval(() => {
      if (instance.broken) reject(instance.broken.error);
    }, LOOK);
    // In Node: work that waits for ever (a source that never answers) must not keep the process from ending.
    unref(look);
    instance.looks.add(look);
  });
  try {
    return await Promise.race([work, dead]);
  } finally {
    clearInterval(look);
    instance.looks.delete(look);
  }
}

/** What a trap means: that memory ran out where nothing else could be done about it, or a mistake of lorafold's own. Whatever else was thrown is not ours. */
function meaning(error: unknown, exports: WebAssembly.Exports): unknown {
  // Too deep a recursion is a RangeError, or in Firefox an InternalError.
  const trap = error instanceof WebAssembly.RuntimeError || error instanceof RangeError || thrown(error).name === "InternalError";
  if (!trap) return error;
  const lost = "what it held is lost, and the next call starts anew";
  if (!(exports.outOfMemory as () => number)()) return new LorafoldError("internal", `lorafold's WebAssembly has failed (${thrown(error).message}): ${lost}`, { detail: error });
  return new LorafoldError("limit-exceeded", `lorafold's WebAssembly has no memory left for this model: ${lost}`, { kind: "no-memory", detail: error });
}
