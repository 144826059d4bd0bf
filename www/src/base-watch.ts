/** Bytes looked at in each place of a file: what replaces it differs there, if only in its weights. */
const LOOK = 4096;

/** The name of a file that is no longer what it was, or that cannot be read any more. */
export type Watch = () => Promise<string | undefined>;

/**
 * Remember what the base's files are. What was not merged is read from them when a result is downloaded, and browsers do not
 * notice (Firefox) or do not say (Chromium) that they have changed since.
 */
export async function watchFiles(files: readonly File[]): Promise<Watch> {
  const before = await Promise.all(files.map(look));
  return async () => {
    const now = await Promise.all(files.map(look));
    return files.find((_, number) => !same(before[number], now[number]))?.name;
  };
}

/** Some bytes of the beginning, the middle and the end; `undefined` when they cannot be read. */
async function look(file: File): Promise<Uint8Array | undefined> {
  const starts = [0, Math.floor(file.size / 2), Math.max(0, file.size - LOOK)];
  const places = new Blob(starts.map((start) => file.slice(start, start + LOOK)));
  return places.arrayBuffer().then((bytes) => new Uint8Array(bytes), () => undefined);
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a?.length === b?.length && (a?.every((byte, at) => byte === b?.[at]) ?? true);
}
