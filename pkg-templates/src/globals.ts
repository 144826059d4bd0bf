/**
 * Classes of the platform, each under its own name. A project whose types lack one (Node's without `lib: ["dom"]`) would read the bare name as
 * `any`, and with it every union that it is in: nothing would be checked any more. Here it is `never`, what nobody can have.
 */
type Known<T> = { is: unknown } extends { is: T } ? never : T;

type KnownAbortSignal = Known<AbortSignal>;
type KnownBlob = Known<Blob>;
type KnownFile = Known<File>;
type KnownFileList = Known<FileList>;
type KnownDirectory = Known<FileSystemDirectoryHandle>;
type KnownReadable<T> = Known<ReadableStream<T>>;
type KnownRequest = Known<Request>;
type KnownResponse = Known<Response>;
type KnownURL = Known<URL>;
type KnownWasm = Known<WebAssembly.Module>;
type KnownWorker = Known<Worker>;
type KnownWritable<T> = Known<WritableStream<T>>;

export type {
  KnownAbortSignal as AbortSignal, KnownBlob as Blob, KnownFile as File, KnownFileList as FileList,
  KnownDirectory as FileSystemDirectoryHandle, KnownReadable as ReadableStream, KnownRequest as Request, KnownResponse as Response,
  KnownURL as URL, KnownWasm as WasmModule, KnownWorker as Worker, KnownWritable as WritableStream,
};
