import { makeZip, predictLength } from "client-zip";

/** A file of the archive. */
export interface Zipped {
  name: string;
  blob: Blob;
}

/** What an archive is made of: bytes, and files by their numbers. */
export type ZipParts = (Uint8Array<ArrayBuffer> | number)[];

/**
 * The parts of a zip archive with all files in a folder of that name, uncompressed (weights do not shrink). The files are read once, for their checksums, and not
 * copied: what is between them is kept.
 */
export async function zipParts(files: readonly Zipped[], folder: string, onProgress: (share: number) => void): Promise<ZipParts> {
  const named = files.map(({ name, blob }) => ({ name: `${folder}/${name}`, size: blob.size, blob }));
  const total = named.reduce((sum, { size }) => sum + size, 0);
  let read = 0;
  /** What the archive's stream passes on as it came, in the order in which it comes. */
  const given: Uint8Array[] = [];
  const watched = (blob: Blob) => blob.stream().pipeThrough(new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      given.push(chunk);
      controller.enqueue(chunk);
    },
  }));

  const entries = named.map(({ name, size, blob }) => ({ name, size, input: watched(blob), lastModified: new Date() }));
  const archive = makeZip(entries, { buffersAreUTF8: true }).getReader();
  const parts: ZipParts = [];
  let bytes = 0;
  let next = 0;
  let left = 0;
  for (let step; !(step = await archive.read()).done; ) {
    const chunk = step.value as Uint8Array<ArrayBuffer>;
    bytes += chunk.length;
    if (chunk !== given[0]) {
      parts.push(chunk);
      continue;
    }
    given.shift();
    // Of an empty file nothing comes.
    while (left === 0 && next < named.length) {
      left = named[next]!.size;
      parts.push(next++);
    }
    left -= chunk.length;
    read += chunk.length;
    onProgress(total > 0 ? read / total : 1);
  }
  const expected = predictLength(named.map(({ name, size }) => ({ name, size })));
  if (read !== total || BigInt(bytes) !== expected) throw new Error("the files are not what they were when the merge ended");
  return parts;
}
