import { type Picked, pickFiles, pickUrl } from "./picked.js";

/** What was dropped: each folder is one thing, loose files together are one, a dragged link is one. */
export async function droppedFiles(transfer: DataTransfer): Promise<Picked[]> {
  // All taken at once: the transfer is empty after the first await.
  const link = transfer.getData("text/uri-list") || transfer.getData("text/plain");
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const taken = items.map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));

  const loose: File[] = [];
  const folders: Promise<File[]>[] = [];
  for (const { entry, file } of taken) {
    if (entry?.isDirectory) folders.push(filesOf(entry as FileSystemDirectoryEntry));
    else if (file) loose.push(file);
  }
  const groups = [...(await Promise.all(folders)), loose];
  const picked = groups.map(pickFiles).filter((group) => group !== undefined);
  if (picked.length > 0 || items.length > 0) return picked;
  const url = pickUrl(link);
  return typeof url === "string" ? [] : [url];
}

/** The files directly inside a dropped folder, each with its path, as from a folder input. */
async function filesOf(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const entries = await entriesOf(folder);
  return Promise.all(
    entries.filter((entry) => entry.isFile).map(async (entry) => {
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      return Object.defineProperty(file, "webkitRelativePath", { value: `${folder.name}/${file.name}` });
    }),
  );
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
