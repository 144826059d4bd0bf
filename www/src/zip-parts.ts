import { makeZip, predictLength } from "client-zip";
import type { MergedFile } from "lorafold";

/**
 * All files as one zip archive, uncompressed (weights do not shrink), in a folder of that name. The files are read once, for their checksums, and not
 * copied: what is between them is kept, and the archive is that and the Blobs themselves, which the browser reads when it is saved.
 */
export async function zipped(files: readonly MergedFile[], folder: string, onProgress: (share: number) => void): Promise<Blob> {
  const all = await Promise.all(files.map(async ({ name, size, blob }) => ({ name: `${folder}/${name}`, size, blob: await blob() })));
  const total = all.reduce((sum, { size }) => sum + size, 0);
  let read = 0;
  /** What the archive's stream passes on as it came, in the order in which it comes. */
  const given: Uint8Array[] = [];
  const watched = (blob: Blob) => blob.stream().pipeThrough(new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      given.push(chunk);
      controller.enqueue(chunk);
    },
  }));

  const entries = all.map(({ name, size, blob }) => ({ name, size, input: watched(blob), lastModified: new Date() }));
  const archive = makeZip(entries, { buffersAreUTF8: true }).getReader();
  const parts: BlobPart[] = [];
  let next = 0;
  let left = 0;
  for (let step; !(step = await archive.read()).done; ) {
    const chunk = step.value as Uint8Array<ArrayBuffer>;
    if (chunk !== given[0]) {
      parts.push(chunk);
      continue;
    }
    given.shift();
    // Of an empty file nothing comes.
    while (left === 0 && next < all.length) {
      left = all[next]!.size;
      parts.push(all[next++]!.blob);
    }
    left -= chunk.length;
    read += chunk.length;
    onProgress(total > 0 ? read / total : 1);
  }
  const archived = new Blob(parts, { type: "application/zip" });
  const expected = predictLength(all.map(({ name, size }) => ({ name, size })));
  if (read !== total || BigInt(archived.size) !== expected) throw new Error("the files are not what they were when the merge ended");
  return archived;
}
