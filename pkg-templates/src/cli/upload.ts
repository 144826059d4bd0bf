import { openAsBlob } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { upload } from "../hub-node.js";
import { inspect } from "../node.js";
import { asPath } from "../node/source.js";
import { UPLOAD_FLAGS } from "./commands.js";
import { hubOptions } from "./plan-flags.js";
import { ProgressLine } from "./progress.js";
import { parse, UsageError } from "./usage.js";

/** `lorafold upload` */
export async function uploadCommand(argv: string[]): Promise<number> {
  const { values, words } = parse(argv, UPLOAD_FLAGS, true);
  const [folder, to, ...more] = words;
  if (folder === undefined || to === undefined || more.length > 0) throw new UsageError("give a folder and a repository", "write lorafold upload DIR hf://org/name");
  const path = asPath(folder);
  if (path === undefined) throw new UsageError(`${folder} is not a folder on this machine`);
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const line = values.quiet ? undefined : new ProgressLine(process.stderr);
  try {
    // Whole, and a model: what is half there is not for others.
    await inspect(path, { signal: stop.signal });
    const names = (await readdir(path, { withFileTypes: true })).filter((entry) => !entry.name.startsWith(".") && !entry.isDirectory()).map(({ name }) => name).sort();
    const result = await upload({
      to,
      files: names.map((name) => ({ name, blob: () => openAsBlob(join(path, name)) as Promise<Blob> })),
      ...hubOptions(values["token-env"]),
      ...(values.message !== undefined && { message: values.message }),
      create: values.public ? "public" : "private",
      signal: stop.signal,
      onProgress: ({ phase, bytes, total }) => line?.show({ bytes, total, file: phase }),
    });
    line?.end();
    const made = result.created ? `; the repository is new and ${values.public ? "public" : "private"}` : "";
    console.log(values.json ? JSON.stringify(result, null, 2) : `uploaded ${names.length} files to ${result.url} (commit ${result.commit.slice(0, 8)})${made}`);
    return 0;
  } finally {
    line?.end();
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}
