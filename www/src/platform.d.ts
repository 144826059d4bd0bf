/** What some browsers have and TypeScript's own library does not know. */
interface Window {
  showDirectoryPicker?: (options?: { id?: string; mode?: "read" | "readwrite" }) => Promise<FileSystemDirectoryHandle>;
}

/** What the build knows: see vite.config.ts. */
interface ImportMetaEnv {
  /** A mirror of the hub. */
  readonly HF_ENDPOINT?: string;
  /** The version of the package. */
  readonly LORAFOLD_VERSION: string;
  /** The address of the project. */
  readonly LORAFOLD_REPOSITORY: string;
}
