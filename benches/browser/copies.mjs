// @ts-check
// The same Files to the same sinks without merging: what the browser's own input and output cost.
import { runsOf, slices } from "./layout.mjs";

const STEP = 8 << 20;

/** Do `perform` for every item, so many at once. @template T @param {Iterable<T>} items @param {number} atOnce @param {(item: T) => Promise<void>} perform */
async function share(items, atOnce, perform) {
  const iterator = items[Symbol.iterator]();
  const loop = async () => {
    for (let { done, value } = iterator.next(); !done; { done, value } = iterator.next()) await perform(value);
  };
  await Promise.all(Array.from({ length: atOnce }, loop));
}

/**
 * Into Blobs: each slice is read and becomes a Blob of its own, as a merge's blocks do. Without `all`, tensors that a
 * merge leaves as they are stay slices of the File that nobody reads; that is what merging is compared to.
 * @param {File[]} files @param {{ all: boolean, atOnce: number }} options
 */
export async function toBlobs(files, { all, atOnce }) {
  const made = [];
  for (const file of files) {
    /** @type {{ at: number, blob: Blob }[]} */
    const parts = [];
    const runs = (await runsOf(file)).flatMap((run) => [...(all || run.merged ? slices(run, STEP) : [run])]);
    await share(runs, atOnce, async ({ start, end, merged }) => {
      const slice = file.slice(start, end);
      parts.push({ at: start, blob: all || merged ? new Blob([await slice.arrayBuffer()]) : slice });
    });
    made.push(new Blob(parts.sort((a, b) => a.at - b.at).map(({ blob }) => blob)));
  }
  return made;
}

/** Into the private file system, through the streams that every browser has. @param {File[]} files @param {FileSystemDirectoryHandle} folder */
export async function byStreams(files, folder) {
  for (const file of files) {
    const handle = await folder.getFileHandle(file.name, { create: true });
    await file.stream().pipeTo(await handle.createWritable());
  }
}

/** Into the private file system, with synchronous handles: each worker takes the next file.
 * @param {File[]} files @param {FileSystemDirectoryHandle} folder @param {number} workers */
export async function byHandles(files, folder, workers) {
  const queue = [...files].sort((a, b) => b.size - a.size);
  await Promise.all(Array.from({ length: workers }, async () => {
    const worker = new Worker(new URL("copy-worker.mjs", import.meta.url), { type: "module" });
    for (let file = queue.shift(); file; file = queue.shift()) {
      await new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => (data === "done" ? resolve(undefined) : reject(new Error(data)));
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage({ file, folder });
      });
    }
    worker.terminate();
  }));
}
