/**
 * The origin's private file system, where merges to "browser storage" are kept for download. lorafold makes one folder for
 * each merge under `lorafold/`; the page removes them when no tab needs them any more.
 */

const FOLDER = "lorafold";
const LOCK = "lorafold-browser-storage";

/** Ends this tab's claim on what is stored. */
let release: (() => Promise<void>) | undefined;

/** Whether there is one (private windows of some browsers have none), and how much room it has, if that is known. */
export async function privateStorage(): Promise<{ free: number | undefined } | undefined> {
  try {
    await navigator.storage.getDirectory();
    const { quota, usage } = await navigator.storage.estimate();
    return { free: quota === undefined ? undefined : quota - (usage ?? 0) };
  } catch {
    return undefined;
  }
}

/** Remove what earlier merges left, unless another tab may be using it. From then on this tab counts as using it. */
export async function tidyPrivateStorage(): Promise<void> {
  if (!(await privateStorage())) return;
  await release?.();
  // What cannot be removed now stays for the next time.
  await navigator.locks.request(LOCK, { ifAvailable: true }, async (lock) => lock && empty().catch(() => undefined));
  release = await claim();
}

/** Shared with other tabs; given back when released, or when the tab ends. */
async function claim(): Promise<() => Promise<void>> {
  let end = () => {};
  const ended = new Promise<void>((resolve) => (end = resolve));
  let held: Promise<unknown> = Promise.resolve();
  await new Promise<void>((granted) => {
    held = navigator.locks.request(LOCK, { mode: "shared" }, () => {
      granted();
      return ended;
    });
  });
  return async () => {
    end();
    await held;
  };
}

async function empty(): Promise<void> {
  const root = await navigator.storage.getDirectory();
  await root.removeEntry(FOLDER, { recursive: true });
}
