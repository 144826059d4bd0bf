import { readFile } from "node:fs/promises";
import { fileError, platformFacts, thrown } from "../errors.js";
import { repeat } from "../node.js";
import type { HubOptions, RepeatedFile, RepeatOptions } from "../types.js";
import { paintFor } from "./colour.js";
import { ProgressLine } from "./progress.js";
import { counted } from "./text.js";

/** What `lorafold verify --receipt FILE` is given. */
export interface VerifyReceipt {
  receipt: string;
  base?: string;
  adapter?: string[];
  merged?: string;
  workers?: number;
  hub?: HubOptions;
  json?: boolean;
  quiet?: boolean;
}

/** `lorafold verify --receipt FILE`: repeat the merge and compare. 0 where everything is as the receipt says, else 1. */
export async function verifyReceipt({ receipt: path, adapter: adapters, json = false, quiet = false, ...given }: VerifyReceipt): Promise<number> {
  const receipt = await readJson(path);
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const line = quiet ? undefined : new ProgressLine(process.stderr);
  try {
    const options: RepeatOptions = { ...given, ...(adapters && { adapters }), signal: stop.signal, onProgress: (progress) => line?.show(progress) };
    const { same, files } = await repeat(receipt, options);
    line?.end();
    const paint = paintFor(process.stdout);
    const verdict = same ? paint("green", "the same") : paint("red", "not the same");
    if (json) console.log(JSON.stringify({ same, files }, null, 2));
    else console.log([`${verdict}: the merge of ${path} was repeated, ${counted(files.length, "file")}`, ...files.filter((file) => !file.same).map((file) => `  ${differenceOf(file)}`)].join("\n"));
    return same ? 0 : 1;
  } finally {
    line?.end();
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

/** What is wrong with a file. */
function differenceOf({ name, expected, repeated, merged }: RepeatedFile): string {
  const what = [
    expected === null && "the receipt has no such file",
    repeated === null && "repeating the merge gives no such file",
    expected !== null && repeated !== null && expected !== repeated && `repeated it has sha256 ${repeated}, by the receipt ${expected}`,
    merged === null && "the merged model has no such file",
    merged && expected !== null && merged !== expected && `in the merged model it has sha256 ${merged}, by the receipt ${expected}`,
  ];
  return `${name}: ${what.filter(Boolean).join("; ")}`;
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw fileError("fetch-failed", path, thrown(error).message, platformFacts(error));
  });
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw fileError("bad-config", path, thrown(error).message, { detail: error });
  }
}
