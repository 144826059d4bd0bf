// @ts-check
// Copies one File into a folder of the private file system, reading and writing synchronously.
const STEP = 8 << 20;

onmessage = async ({ data: { file, folder } }) => {
  try {
    const target = await folder.getFileHandle(file.name, { create: true });
    const handle = await target.createSyncAccessHandle();
    // @ts-ignore: the types are a window's, which has no such reader.
    const reader = new FileReaderSync();
    for (let at = 0; at < file.size; at += STEP) handle.write(new Uint8Array(reader.readAsArrayBuffer(file.slice(at, at + STEP))), { at });
    handle.flush();
    handle.close();
    postMessage("done");
  } catch (error) {
    postMessage(String(error));
  }
};
