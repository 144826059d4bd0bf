import { type Picked, pickFiles, pickUrl } from "./picked.js";

/** What was dropped: each folder is one thing, loose files together are one, a dragged link is one. In words, what cannot be taken, and why. */
export async function droppedFiles(transfer: DataTransfer): Promise<(Picked | string)[]> {
  // All taken at once: the transfer is empty after the first await.
  const links = transfer.getData("text/uri-list") || transfer.getData("text/plain");
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const taken = items.map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  // A line that begins with # is a comment of that format.
  if (taken.length === 0) return links.split(/[\r\n]+/).filter((line) => line && !line.startsWith("#")).map(pickUrl);

  const loose: File[] = [];
  const folders: Promise<Picked | string>[] = [];
  for (const { entry, file } of taken) {
    if (entry?.isDirectory) folders.push(pickFolder(entry as FileSystemDirectoryEntry));
    else if (file) loose.push(file);
  }
  const together = loose.length > 0 ? [pickFiles(loose) ?? "There is nothing of a model in what was dropped."] : [];
  return [...(await Promise.all(folders)), ...together];
}

async function pickFolder(folder: FileSystemDirectoryEntry): Promise<Picked | string> {
  try {
    return pickFiles(await filesOf(folder)) ?? `There are no files directly in “${folder.name}”. Drop the folder that holds the .safetensors file itself.`;
  } catch (error) {
    return `“${folder.name}” cannot be read: ${(error as Error).message}`;
  }
}

/** The files directly inside a dropped folder, each with its path, as from a folder input; for a folder in it, an empty one that names it. */
async function filesOf(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const entries = await entriesOf(folder);
  return Promise.all(
    entries.map(async (entry) => {
      if (entry.isDirectory) return withPath(new File([], ""), `${folder.name}/${entry.name}/`);
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      return withPath(file, `${folder.name}/${file.name}`);
    }),
  );
}

function withPath(file: File, path: string): File {
  return Object.defineProperty(file, "webkitRelativePath", { value: path });
}

async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    // A reader gives a hundred at a time, and none when it is through.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all.sort((a, b) => (a.name < b.name ? -1 : 1));
    all.push(...some);
  }
}
