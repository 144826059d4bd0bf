/** Where the hub is, and how patient reads of remote files are. */
export interface Network {
  /** Where `hf://` points, without a slash at the end. */
  readonly hubEndpoint: string;
  /** Milliseconds before each retry. A server's `Retry-After` may ask for longer. */
  readonly retryDelays: readonly number[];
  /** Milliseconds without a byte after which a server counts as gone: less than the time after which a semaphore's permit counts as abandoned. */
  readonly stallTimeout: number;
}

/** The settings of platforms that give none of their own. */
export const NETWORK: Network = { hubEndpoint: "https://huggingface.co", retryDelays: [250, 500, 1000], stallTimeout: 20_000 };

/** What every request for a file needs: headers, the signal, and the network settings of the platform; {@link NETWORK} by default. */
export interface RequestOptions extends RequestInit {
  network?: Network;
  /** Of requests to the hub: the repository that they are about. */
  hub?: string;
}
