import { type Context, createContext } from "./context.js";
import { LorafoldError, optionError } from "./errors.js";
import type { Platform } from "./platform.js";
import { compile, type WasmSource } from "./wasm-source.js";

/**
 * The context of `lorafold/slim` and `lorafold/edge`, which load no WebAssembly themselves. Libraries import these, and run on whatever the program
 * has set up: that is why it is one for all of them. Entry points that have a context of their own do not read it.
 */
let current: Context | undefined;

/** Called by an entry point that loads WebAssembly itself, so that libraries run on the same. */
export function setDefaultContext(context: Context): void {
  current = context;
}

/** @throws {LorafoldError} `bad-option` where nothing is set up yet. */
export function defaultContext(): Context {
  if (!current) throw new LorafoldError("bad-option", "lorafold has no WebAssembly yet: call initialize() first, or import lorafold itself");
  return current;
}

/** Use the WebAssembly that a caller gives. Calls of the API may follow at once and wait for it; the promise resolves when it runs. */
export async function initializeDefault(source: WasmSource | Promise<WasmSource>, platform: Omit<Platform, "loadWasm">): Promise<void> {
  const module = compile(source);
  const context = createContext({ ...platform, loadWasm: () => module });
  setDefaultContext(context);
  // An instance that runs already is kept, whatever the module. A wrong module is an error all the same.
  await module;
  await context.engine().catch((error: unknown) => {
    throw error instanceof LorafoldError && error.code === "internal" ? optionError("initialize", error.message, { ...error.facts, detail: error.detail }) : error;
  });
}
