// @ts-check
// A directory handle as browsers give it, in memory: what is written shows when it is closed, and what is open cannot be removed.

/** @typedef {Record<string, (name: string) => void>} Faults called before each step: "keys", "values", "getFileHandle", "createWritable", "close", "removeEntry" */

/**
 * @param {Record<string, Uint8Array | string>} [files]
 * @param {Faults} [faults]
 */
export function memoryDirectory(files = {}, faults = {}) {
  const store = new Map(Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes)]));
  /** @type {Map<string, number>} */
  const open = new Map();
  const missing = () => new DOMException("it is not there", "NotFoundError");

  class FileHandle {
    kind = "file";
    /** @param {string} name */
    constructor(name) {
      this.name = name;
    }
    async getFile() {
      const bytes = store.get(this.name);
      if (!bytes) throw missing();
      return new File([new Uint8Array(bytes)], this.name);
    }
    async createWritable() {
      const { name } = this;
      faults.createWritable?.(name);
      open.set(name, (open.get(name) ?? 0) + 1);
      let bytes = Buffer.alloc(0);
      let ended = false;
      const end = () => {
        if (ended) throw new TypeError("it is closed already");
        ended = true;
        open.set(name, (open.get(name) ?? 0) - 1);
      };
      return {
        async write(/** @type {any} */ given) {
          const { position = 0, data = given } = given;
          const part = Buffer.from(data instanceof Blob ? await data.arrayBuffer() : data);
          bytes = Buffer.concat([bytes, Buffer.alloc(Math.max(0, position + part.length - bytes.length))]);
          part.copy(bytes, position);
        },
        async close() {
          end();
          faults.close?.(name);
          store.set(name, bytes);
        },
        abort: async () => end(),
      };
    }
  }

  const directory = {
    kind: "directory",
    name: "in memory",
    async *keys() {
      faults.keys?.("");
      yield* [...store.keys()];
    },
    async *values() {
      faults.values?.("");
      for (const name of [...store.keys()]) yield new FileHandle(name);
    },
    async removeEntry(/** @type {string} */ name) {
      faults.removeEntry?.(name);
      if (open.get(name)) throw new DOMException("it is open", "NoModificationAllowedError");
      if (!store.delete(name)) throw missing();
    },
    async getFileHandle(/** @type {string} */ name, { create = false } = {}) {
      faults.getFileHandle?.(name);
      if (!store.has(name)) {
        if (!create) throw missing();
        store.set(name, Buffer.alloc(0));
      }
      return new FileHandle(name);
    },
    /** Another handle for the same directory. */
    again: () => ({ ...directory }),
    isSameEntry: async (/** @type {{ store?: unknown }} */ other) => other.store === store,
    store,
  };
  return directory;
}
