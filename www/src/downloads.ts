import { LorafoldError, type MergedFile } from "lorafold";
import { make } from "./dom.js";

/** URLs of the latest result, to be given back with the next. */
const urls: string[] = [];

/** An address for a link that downloads the blob. */
export function downloadUrl(blob: Blob): string {
  const url = URL.createObjectURL(blob);
  urls.push(url);
  return url;
}

/** Give back the addresses of the latest result: its links lead nowhere from then on. */
export function revokeDownloads(): void {
  for (const url of urls.splice(0)) URL.revokeObjectURL(url);
}

/**
 * Copy every file into a folder that the user picks, where none of it and no other model is yet. `false` when none was picked.
 * `refuseChanged` throws where what is copied is not the result any more.
 */
export async function saveToFolder(files: readonly MergedFile[], onFile: (name: string) => void, refuseChanged: () => Promise<void>): Promise<boolean> {
  let folder: FileSystemDirectoryHandle;
  try {
    folder = await window.showDirectoryPicker!({ id: "lorafold-output", mode: "readwrite" });
  } catch (error) {
    if ((error as Error).name === "AbortError") return false;
    throw error;
  }
  await refuseModel(folder, files);
  await refuseChanged();
  const made: string[] = [];
  try {
    for (const file of files) {
      onFile(file.name);
      made.push(file.name);
      const handle = await folder.getFileHandle(file.name, { create: true });
      await file.stream().pipeTo(await handle.createWritable());
    }
    await refuseChanged();
  } catch (error) {
    // So that the same folder can be chosen again.
    await Promise.allSettled(made.map((name) => folder.removeEntry(name)));
    throw error;
  }
  return true;
}

/** Nothing is replaced unasked; and weights of another model would be taken for part of this one. */
async function refuseModel(folder: FileSystemDirectoryHandle, files: readonly MergedFile[]): Promise<void> {
  const names = new Set(files.map(({ name }) => name));
  for await (const name of folder.keys()) {
    if (names.has(name) || name.endsWith(".safetensors")) {
      const about = { kind: "output-not-empty", file: folder.name, found: name } as const;
      throw new LorafoldError("bad-option", `the folder “${folder.name}” has a ${name} already. Choose an empty one.`, about);
    }
  }
}

/** A link that looks like a button, and saves a blob under its name. */
export function downloadButton(blob: Blob, name: string): HTMLElement {
  return make("p", {}, make("a", { class: "button", href: downloadUrl(blob), download: name, "data-testid": name.replace(/\W/g, "-") }, `Download ${name}`));
}
