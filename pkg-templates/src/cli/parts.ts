import { finishParts, mergePart } from "../node.js";
import type { Part, PartOptions } from "../node/parts.js";
import type { PlanOptions } from "../types.js";
import { ProgressLine } from "./progress.js";
import { writeParts } from "./report.js";
import { size } from "./text.js";
import { UsageError } from "./usage.js";

/** `2/8`: the second of eight parts. */
export function partOption(text: string): Part {
  const [, part, of] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (part === undefined || of === undefined || Number(part) < 1 || Number(part) > Number(of)) {
    throw new UsageError(`--part: ${text} is not a part such as 2/8`);
  }
  return { part: Number(part), of: Number(of) };
}

/** `lorafold merge --part i/n` */
export async function mergePartCommand(options: PartOptions, part: Part, { json, quiet }: { json: boolean; quiet: boolean }): Promise<number> {
  const line = quiet ? undefined : new ProgressLine(process.stderr);
  try {
    const merged = await mergePart({ ...options, onProgress: (progress) => line?.show(progress) }, part);
    line?.end();
    console.log(json ? JSON.stringify(merged, null, 2) : `merged part ${part.part} of ${part.of} (${size(merged.bytes)}) into ${options.output}; --finish completes the model when all parts are there`);
    return 0;
  } finally {
    line?.end();
  }
}

/** `lorafold merge --finish` */
export async function finishCommand(output: string, merge: PlanOptions | undefined, { json, force, receipt }: { json: boolean; force: boolean; receipt: string | undefined }): Promise<number> {
  const named = await finishParts(output, { force, ...(merge && { merge }), receipt: receipt !== undefined });
  if (receipt !== undefined) await writeParts(receipt, [`${JSON.stringify(named.receipt, null, 2)}\n`]);
  const files = named.map(({ name, size }) => ({ name, size }));
  console.log(json ? JSON.stringify({ files }, null, 2) : `all parts are there: ${output} is complete, ${files.length} files`);
  return 0;
}
