import { type Zipped, zipParts, type ZipParts } from "./zip-parts.js";

/** What the worker is asked, once. */
export interface ZipRequest {
  files: readonly Zipped[];
  folder: string;
}

/** What it says: how far it is, then what the archive is made of, or what went wrong. */
export type ZipAnswer = { share: number } | { parts: ZipParts } | { failed: string };

/** Progress that is told more often cannot be seen. */
const TELL_EVERY = 100;

const answer = (said: ZipAnswer) => self.postMessage(said);

self.addEventListener("message", ({ data: { files, folder } }: MessageEvent<ZipRequest>) => {
  let told = 0;
  const tell = (share: number) => {
    const now = performance.now();
    if (now - told < TELL_EVERY) return;
    told = now;
    answer({ share });
  };
  zipParts(files, folder, tell).then((parts) => answer({ parts }), (error: Error) => answer({ failed: error.message }));
});
