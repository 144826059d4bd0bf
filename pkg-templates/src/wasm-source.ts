import { fileError, LorafoldError, optionError } from "./errors.js";
import type { Response, WasmModule } from "./globals.js";
import { statusFacts } from "./sources/request.js";

/** lorafold's WebAssembly as callers may have it: compiled, its bytes, or the response of a request for them. */
export type WasmSource = WasmModule | ArrayBuffer | ArrayBufferView<ArrayBuffer> | Response;

/**
 * Compile lorafold's WebAssembly.
 *
 * @throws {LorafoldError} `bad-option` where it is something else, `fetch-failed` where it is the response of a request that failed.
 */
export function compile(source: WasmSource | Promise<WasmSource>): Promise<WebAssembly.Module> {
  // The generated glue would instantiate any module, and keep it for good.
  return compiled(source, (module) => WebAssembly.Module.exports(module).some(({ name }) => name === "plan_open"));
}

/** The same for its second half (`rest.ts`). */
export function compileRest(source: WasmSource | Promise<WasmSource>): Promise<WebAssembly.Module> {
  return compiled(source, (module) => WebAssembly.Module.imports(module).some(({ module: from }) => from === "first"));
}

async function compiled(source: WasmSource | Promise<WasmSource>, isOurs: (module: WebAssembly.Module) => boolean): Promise<WebAssembly.Module> {
  const found = await source;
  let module: WebAssembly.Module | undefined;
  try {
    if (found instanceof WebAssembly.Module) module = found;
    else if (found instanceof ArrayBuffer || ArrayBuffer.isView(found)) module = await WebAssembly.compile(found);
    else if (typeof Response !== "undefined" && found instanceof Response) module = await compileResponse(found);
  } catch (error) {
    if (error instanceof LorafoldError) throw error;
    // Browsers tell this in words alone, each in its own.
    if (/content security policy|unsafe-eval|\bCSP\b/i.test((error as Error).message)) throw optionError("initialize", "the page's content security policy forbids WebAssembly", { fix: "add 'wasm-unsafe-eval' to its script-src", detail: error });
    throw optionError("initialize", `this is not lorafold's WebAssembly: ${(error as Error).message}`, { detail: error });
  }
  if (!module) throw optionError("initialize", `${String(found)} is neither a WebAssembly.Module nor its bytes nor a Response`, { found: String(found) });
  if (!isOurs(module)) {
    throw optionError("initialize", "this is not lorafold's WebAssembly, but another module");
  }
  return module;
}

async function compileResponse(response: Response): Promise<WebAssembly.Module> {
  if (!response.ok) throw fileError("fetch-failed", response.url, `status ${response.status} instead of lorafold's WebAssembly`, statusFacts(response));
  // Servers of single-page applications answer every unknown address with their page.
  if (response.headers.get("content-type")?.startsWith("text/html")) {
    throw fileError("fetch-failed", response.url, "a page came instead of lorafold's WebAssembly", { kind: "web-page", fix: "check that the site serves it there" });
  }
  // Streaming compilation demands this type, and some servers do not send it.
  const streams = response.headers.get("content-type") === "application/wasm" && "compileStreaming" in WebAssembly;
  return streams ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}
