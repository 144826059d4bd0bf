import type { Sink } from "./sinks/sink.js";
import type { BoundInput, Input, Listing, Role } from "./sources/input.js";
import type { Output, SourceLike } from "./types.js";
import type { Port } from "./workers/protocol.js";
import type { Writer } from "./workers/runner.js";

/** What differs between a browser, Node and an edge runtime. Everything else is one code path. */
export interface Platform {
  /** The compiled WebAssembly. */
  loadWasm(): Promise<WebAssembly.Module>;
  /** Start a worker that serves the protocol; `undefined` where there are no workers. */
  startWorker?: () => Port;
  /** Start the worker that writes the private file system. */
  startWriter?: () => Worker;
  /** How many workers are useful. */
  processors(): number;
  /** Sources that only this platform knows (paths in Node). */
  openSource?(source: SourceLike, role: Role): Promise<Listing | undefined>;
  /** Outputs that only this platform knows. They must not destroy an input. */
  openSink?(output: Output, force: boolean, inputs: readonly Input[]): Promise<Sink | undefined>;
  /** Readers for inputs that only this platform knows. */
  bindInput?: (input: Input) => BoundInput | undefined;
  /** Fails with `source-changed` where an input is not what was listed any more, and the platform itself would not say so. */
  checkInputs?(inputs: readonly Input[]): Promise<void>;
  /** The most memory that WebAssembly may take; no limit but its own if not said. */
  memoryBytes?: number;
  /** Of a merged model that is read: bytes computed at a time, and packed factors kept; where memory is scarce. */
  blockBytes?: number;
  factorBytes?: number;
  /** Adapters of at most so many bytes together are kept in memory when they come from elsewhere; 256 MiB if not said. */
  adapterBytes?: number;
  /** Write straight from WebAssembly memory, where no worker does it. */
  writer?: Writer;
}
