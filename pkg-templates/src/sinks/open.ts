import { optionError, part, quoted, wrongValue } from "../errors.js";
import type { Platform } from "../platform.js";
import type { Prepared } from "../prepare.js";
import { isDirectoryHandle } from "../sources/directory.js";
import type { Output } from "../types.js";
import { BlobSink } from "./blob.js";
import type { Sink } from "./sink.js";
import { StreamSink } from "./stream.js";

/**
 * The sink for an output.
 *
 * @throws {LorafoldError} `bad-option` where there is no such output here, or where the merge reads from it.
 */
export async function openSink(platform: Platform, output: Output, force: boolean, { inputs, directories }: Pick<Prepared, "inputs" | "directories">): Promise<Sink> {
  if (output === "") throw optionError("output", "it is empty", { found: quoted(output), fix: "give a folder" });
  // In Node it would be a folder of that name.
  if (typeof output === "string" && output !== output.toLowerCase() && /^(blob|opfs)$/i.test(output)) throw optionError("output", `there is no ${quoted(output)}`, { found: output, expected: output.toLowerCase(), fix: `did you mean ${quoted(output.toLowerCase())}?` });
  const own = await platform.openSink?.(output, force, inputs);
  if (own) return own;
  if (output === "blob") return new BlobSink();
  if (output === "opfs") return (await part(import("./opfs.js"))).openPrivateFileSystem(platform);
  if (typeof output === "function") return new StreamSink(output);
  if (isDirectoryHandle(output)) {
    await refuseInputs(output, directories);
    return new (await part(import("./directory.js"))).DirectorySink(output, force);
  }
  throw wrongValue("output", output, "a place that files can be written to here");
}

/** Refuse an output that is one of the inputs. Two handles may be of the same directory, which only the browser can tell. */
async function refuseInputs(output: FileSystemDirectoryHandle, inputs: readonly FileSystemDirectoryHandle[]): Promise<void> {
  for (const input of inputs) {
    if (input === output || (await output.isSameEntry(input))) {
      throw optionError("output", `${output.name} is a folder that the merge reads`, { kind: "output-is-input", file: output.name, fix: "give another folder" });
    }
  }
}
