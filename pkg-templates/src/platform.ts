import type { Wasm } from "./engine.js";
import type { Hasher } from "./hub/sha256.js";
import type { Sink } from "./sinks/sink.js";
import type { BoundInput, Input, Listing, Role } from "./sources/input.js";
import type { Network } from "./sources/network.js";
import type { Output, SourceLike } from "./types.js";
import type { Port } from "./workers/protocol.js";
import type { Writer } from "./workers/runner.js";

/** All that differs between browsers, Node and edge runtimes. */
export interface Platform {
  /** The compiled WebAssembly. Called once, and again after a failure. */
  loadWasm(): Promise<Wasm>;
  /** Start a worker that serves the protocol; `undefined` where there are no workers. */
  startWorker?: () => Port;
  /** Whether plans are made in a worker: on a page, whose thread must stay free for events. */
  plansInWorker?: boolean;
  /** Start the worker that writes the private file system. */
  startWriter?: () => Worker;
  /** How remote files are read; by default {@link NETWORK}. */
  network?: Network;
  /** The hub that the user has set instead of the usual one. */
  hubEndpoint?: () => string | undefined;
  /** The token that the user has for the hub. */
  hubToken?: () => Promise<string | undefined>;
  /** Hashes by SHA-256, where the platform does that of what comes piece by piece. */
  newHasher?: () => Hasher;
  /** How many workers can run at the same time. */
  processors(): number;
  /** Sources that only this platform knows (paths in Node). */
  openSource?(source: SourceLike, role: Role): Promise<Listing | undefined>;
  /** Outputs that only this platform knows. Must refuse to write to an input. */
  openSink?(output: Output, force: boolean, inputs: readonly Input[]): Promise<Sink | undefined>;
  /** Readers for inputs that only this platform knows. */
  bindInput?: (input: Input) => BoundInput | undefined;
  /** Check after a merge that its inputs are still what was listed, where reads alone do not show it; rejects with `source-changed`. */
  checkInputs?(inputs: readonly Input[]): Promise<void>;
  /** Limit of the WebAssembly memory in bytes; by default what WebAssembly itself allows. */
  memoryBytes?: number;
  /** For `openMerged` where memory is scarce: bytes computed at a time, and bytes of packed factors kept. */
  blockBytes?: number;
  factorBytes?: number;
  /** Adapters that come over the network are kept in memory up to this many bytes together; by default 256 MiB. */
  adapterBytes?: number;
  /** Writes straight from WebAssembly memory when the calling thread computes. */
  writer?: Writer;
}
