import type { MergedFile } from "lorafold";
import type { ZipAnswer, ZipRequest } from "./zip-worker.js";

/**
 * All files as one zip archive in a folder of that name. A worker reads them for their checksums, which would take the page's thread for a second of
 * every few hundred MB; the archive is what it puts between them and the Blobs themselves, which the browser reads when it is saved.
 */
export async function zipped(files: readonly MergedFile[], folder: string, onProgress: (share: number) => void): Promise<Blob> {
  const all = await Promise.all(files.map(async ({ name, blob }) => ({ name, blob: await blob() })));
  const worker = new Worker(new URL("./zip-worker.ts", import.meta.url), { type: "module" });
  try {
    const parts = await new Promise<BlobPart[]>((resolve, reject) => {
      worker.addEventListener("message", ({ data }: MessageEvent<ZipAnswer>) => {
        if ("share" in data) onProgress(data.share);
        else if ("failed" in data) reject(new Error(data.failed));
        else resolve(data.parts.map((part) => (typeof part === "number" ? all[part]!.blob : part)));
      });
      worker.addEventListener("error", ({ message }) => reject(new Error(message || "the worker that reads the files did not start")));
      worker.postMessage({ files: all, folder } satisfies ZipRequest);
    });
    return new Blob(parts, { type: "application/zip" });
  } finally {
    worker.terminate();
  }
}
