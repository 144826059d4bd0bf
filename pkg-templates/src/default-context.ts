import { type Context, createContext } from "./context.js";
import { LorafoldError, optionError } from "./errors.js";
import type { Platform } from "./platform.js";
import type { Wasm } from "./engine.js";
import { compile, compileRest, type WasmSource } from "./wasm-source.js";

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

/** The second half as callers may have it: as the first, or the address of its file, which a browser then loads when it is needed. */
export type RestSource = WasmSource | Promise<WasmSource> | string | URL | undefined;

async function both(module: Promise<WebAssembly.Module>, rest: RestSource): Promise<Wasm> {
  if (rest === undefined) return { module: await module };
  if (typeof rest === "string" || rest instanceof URL) return { module: await module, rest: resolved(String(rest)) };
  const [first, second] = await Promise.all([module, compileRest(rest)]);
  return { module: first, rest: second };
}

/** An address as the page means it: workers would read it as beside their script. */
function resolved(address: string): string {
  const here = globalThis.document?.baseURI ?? globalThis.location?.href;
  return here === undefined ? address : new URL(address, here).href;
}

/** Use the WebAssembly that a caller gives. Calls of the API may follow at once and wait for it; the promise resolves when it runs. */
export async function initializeDefault(source: WasmSource | Promise<WasmSource>, rest: RestSource, platform: Omit<Platform, "loadWasm">): Promise<void> {
  const wasm = both(compile(source), rest);
  const context = createContext({ ...platform, loadWasm: () => wasm });
  setDefaultContext(context);
  // An instance that runs already is kept, whatever the module. A wrong module is an error all the same.
  await wasm;
  await context.engine().catch((error: unknown) => {
    throw error instanceof LorafoldError && error.code === "internal" ? optionError("initialize", error.message, { ...error.facts, detail: error.detail }) : error;
  });
}
