import { fileError, LorafoldError, optionError } from "./errors.js";

/**
 * The second half of lorafold's WebAssembly: methods and files that few have (`rest.txt`). A program loads it when it first calls into it, in the
 * middle of that call, so it must be had at once: compiled already, or the address of a file that is read on the spot.
 */
export type Rest = WebAssembly.Module | string;

/** That of this thread. */
let rest: Rest | undefined;

/** How this thread reads it from its address. */
let read = requestNow;

/** Have this thread read addresses in another way. Both must give the bytes before they return. */
export function readRestBy(reader: (url: string) => Uint8Array<ArrayBuffer>): void {
  read = reader;
}

/** Say where this thread has it from. */
export function restIs(from: Rest | undefined): void {
  rest = from ?? rest;
}

/** What another thread is told of it. */
export function currentRest(): Rest | undefined {
  return rest;
}

/**
 * Link it to the first half, which calls this. `imports`: the JavaScript that both call.
 *
 * @throws {LorafoldError} `bad-option` where it was not given, `fetch-failed` where it cannot be read, `internal` where it is another version's.
 */
export function loadRest(first: WebAssembly.Exports, imports: WebAssembly.ModuleImports): void {
  if (rest === undefined) {
    const fix = "give initialize the file lorafold_rest.wasm, too: initialize(wasm, { rest })";
    throw optionError("rest", "this needs the second half of lorafold's WebAssembly", { fix });
  }
  if (typeof rest === "string") rest = new WebAssembly.Module(read(rest));
  try {
    new WebAssembly.Instance(rest, { "./lorafold_bg.js": imports, first });
  } catch (error) {
    if (!(error instanceof WebAssembly.LinkError)) throw error;
    const fix = "load both halves from the same release: a cache may hold an older file";
    throw new LorafoldError("internal", `the halves of lorafold's WebAssembly are of different versions (${error.message}); ${fix}`, { fix, detail: error });
  }
}

/** The bytes of a file, read while this thread waits. Only as text does every thread get them so. */
function requestNow(url: string): Uint8Array<ArrayBuffer> {
  const request = new XMLHttpRequest();
  request.open("GET", url, false);
  request.overrideMimeType("text/plain; charset=x-user-defined");
  const failed = (reason: string, detail?: unknown) =>
    fileError("fetch-failed", url, `the second half of lorafold's WebAssembly could not be loaded (${reason})`, { fix: "check the connection and try again", detail });
  try {
    request.send();
  } catch (error) {
    throw failed((error as Error).message, error);
  }
  if (request.status !== 200) throw failed(`status ${request.status}`);
  return Uint8Array.from(request.responseText, (letter) => letter.charCodeAt(0) & 0xff);
}
