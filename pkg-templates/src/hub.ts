/**
 * The hub without any WebAssembly: reading its addresses.
 *
 * @module lorafold/hub
 */
import { NETWORK } from "./sources/network.js";
import { parseRepository, type Repository } from "./sources/repository.js";

/**
 * Read what people write for a model of the hub: `org/name`, `hf://org/name@revision`, `hf://org/name/folder`, and the addresses of its pages. `undefined` for
 * what is no address of the hub, such as the URL of another host. In Node a path that is there counts before `org/name`.
 *
 * @param endpoint a mirror, whose pages are addresses of the hub, too
 * @throws {LorafoldError} `bad-option` for an address of the hub that names no model: a data set, a space, a page about something else.
 */
export function parseHubAddress(address: string, { endpoint = NETWORK.hubEndpoint }: { endpoint?: string } = {}): Repository | undefined {
  return parseRepository(address, endpoint.replace(/\/+$/, ""));
}

export type { Repository } from "./sources/repository.js";
export type { HubOptions } from "./types.js";
export { LorafoldError, type ErrorCode, type ErrorFacts, type ErrorKind } from "./errors.js";
