import type { MergedFile } from "lorafold";

/** Browsers drop downloads that are started all at once. */
const BETWEEN = 400;

/** URLs of the latest result, to be given back with the next. */
const urls: string[] = [];

/** An address for a link that downloads the blob. */
export function downloadUrl(blob: Blob): string {
  const url = URL.createObjectURL(blob);
  urls.push(url);
  return url;
}

export function revokeDownloads(): void {
  for (const url of urls.splice(0)) URL.revokeObjectURL(url);
}

/** Follow every link, one after another. */
export async function followAll(links: readonly HTMLAnchorElement[]): Promise<void> {
  for (const link of links) {
    link.click();
    await new Promise((resolve) => setTimeout(resolve, BETWEEN));
  }
}

/** Copy every file into a folder that the user picks. `false` when none was picked. */
export async function saveToFolder(files: readonly MergedFile[], onFile: (name: string) => void): Promise<boolean> {
  let folder: FileSystemDirectoryHandle;
  try {
    folder = await window.showDirectoryPicker!({ id: "lorafold-output", mode: "readwrite" });
  } catch (error) {
    if ((error as Error).name === "AbortError") return false;
    throw error;
  }
  for (const file of files) {
    onFile(file.name);
    const handle = await folder.getFileHandle(file.name, { create: true });
    await file.stream().pipeTo(await handle.createWritable());
  }
  return true;
}
