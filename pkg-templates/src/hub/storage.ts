import { fileError } from "../errors.js";
import type { RequestOptions } from "../sources/network.js";
import { readAll, refused, request } from "../sources/request.js";
import { Turns } from "../sources/turns.js";

/** A large file of an upload. */
export interface LargeFile {
  name: string;
  blob: Blob;
  sha256: string;
}

/** What the hub says is to be done with an object (Git LFS's batch API, with the hub's own way of uploading in parts). */
interface BatchedObject {
  oid: string;
  error?: { code: number; message: string };
  actions?: {
    upload?: { href: string; header?: Record<string, string> };
    verify?: { href: string; header?: Record<string, string> };
  };
}

/** Uploads large files to where the hub's answers say, at most a few pieces at a time. */
export class Storage {
  readonly #turns = new Turns();
  readonly #repository: string;
  readonly #branch: string;
  readonly #options: RequestOptions;

  /** @param repository the address of the repository; `options` are those of requests to the hub, with its token */
  constructor(repository: string, branch: string, options: RequestOptions) {
    this.#repository = repository;
    this.#branch = branch;
    this.#options = options;
  }

  /** Upload a file, unless the hub has it already. `onStored` is told of bytes that are there. */
  async store(file: LargeFile, onStored: (bytes: number) => void): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const { error, actions } = await this.#batch(file);
      if (error) throw fileError("fetch-failed", file.name, `the hub does not take this file: ${error.message} (${error.code})`, { found: String(error.code) });
      if (!actions?.upload) return onStored(file.blob.size);
      let stored = 0;
      const done = await this.#put(file, actions.upload, (bytes) => {
        stored += bytes;
        onStored(bytes);
      });
      if (done) {
        if (actions.verify) await this.#verify(file, actions.verify.href);
        return;
      }
      // Its addresses held for too short a time: the hub gives others.
      onStored(-stored);
      if (attempt > 0) throw fileError("fetch-failed", file.name, "the addresses that the hub gave for the upload have expired", { kind: "access-denied" });
    }
  }

  #batch({ sha256, blob }: LargeFile): Promise<BatchedObject> {
    const body = { operation: "upload", transfers: ["basic", "multipart"], hash_algo: "sha_256", ref: { name: this.#branch }, objects: [{ oid: sha256, size: blob.size }] };
    const url = `${this.#repository}.git/info/lfs/objects/batch`;
    return this.#turns.run(async () => {
      const { objects } = await readAll(url, (response) => response.json() as Promise<{ objects?: BatchedObject[] }>, this.#post(body));
      const [object] = objects ?? [];
      if (object?.oid !== sha256) throw fileError("fetch-failed", url, "the hub answers for another file");
      return object;
    });
  }

  /** Whether it is done; not where an address no longer holds. */
  async #put({ name, blob, sha256 }: LargeFile, { href, header = {} }: { href: string; header?: Record<string, string> }, onStored: (bytes: number) => void): Promise<boolean> {
    const size = Number(header["chunk_size"]);
    if (header["chunk_size"] === undefined) {
      const response = await this.#send("PUT", href, blob, header);
      if (response) onStored(blob.size);
      return response !== undefined;
    }
    const count = Math.ceil(blob.size / size);
    const addresses = Object.entries(header).filter(([part]) => /^\d+$/.test(part)).sort(([a], [b]) => Number(a) - Number(b)).map(([, address]) => address);
    if (!(Number.isSafeInteger(size) && size > 0) || addresses.length !== count) throw fileError("fetch-failed", name, "the hub's parts of an upload are not those of the file");
    const parts = await Promise.all(addresses.map(async (address, number) => {
      const part = blob.slice(number * size, (number + 1) * size);
      const response = await this.#send("PUT", address, part, {});
      const etag = response?.headers.get("etag");
      if (etag === undefined) return undefined;
      if (etag === null) throw fileError("fetch-failed", name, "the storage does not say what it has stored (ETag)");
      onStored(part.size);
      return { partNumber: number + 1, etag };
    }));
    if (parts.includes(undefined)) return false;
    const type = { "content-type": "application/vnd.git-lfs+json" };
    return (await this.#send("POST", href, JSON.stringify({ oid: sha256, parts }), type)) !== undefined;
  }

  /** Send something to the storage. The address is a secret by itself: the token is not sent along. Nothing where the address no longer holds. */
  #send(method: string, url: string, body: Blob | string, headers: Record<string, string>): Promise<Response | undefined> {
    const { network, signal } = this.#options;
    return this.#turns.run(async () => {
      const response = await request(url, { ...(network && { network }), ...(signal && { signal }), method, headers, body });
      if (response.status !== 403 && !response.ok) throw await refused(url, response);
      await response.body?.cancel();
      return response.ok ? response : undefined;
    });
  }

  async #verify({ sha256, blob }: LargeFile, href: string): Promise<void> {
    const sameHost = new URL(href).origin === new URL(this.#repository).origin;
    const { headers: _, ...anonymous } = this.#post({ oid: sha256, size: blob.size });
    const options = sameHost ? this.#post({ oid: sha256, size: blob.size }) : { ...anonymous, headers: { "content-type": "application/json" } };
    await this.#turns.run(() => readAll(href, (response) => response.text(), options));
  }

  #post(body: object): RequestOptions {
    const type = "application/vnd.git-lfs+json";
    return { ...this.#options, method: "POST", headers: { ...(this.#options.headers as Record<string, string>), accept: type, "content-type": type }, body: JSON.stringify(body) };
  }
}
