import { optionError } from "../errors.js";
import { checkHub, type HubAccess } from "../sources/hub.js";
import { NETWORK } from "../sources/network.js";
import { parseRepository, type Repository } from "../sources/repository.js";
import type { HubOptions } from "../types.js";
import { type FoundModel, searchModels, type SearchOptions } from "./search.js";
import type { Hasher } from "./sha256.js";
import { upload, type UploadOptions, type UploadResult } from "./upload.js";

/** The functions of `lorafold/hub`. */
export interface HubApi {
  /**
   * Read what people write for a model of the hub: `org/name`, `hf://org/name@revision`, `hf://org/name/folder`, and the addresses of its pages. `undefined` for
   * what is no address of the hub, such as the URL of another host. In Node a path that is there counts before `org/name`. `endpoint`: a mirror, whose pages
   * are addresses of the hub, too.
   *
   * @throws {LorafoldError} `bad-option` for an address of the hub that names no model: a data set, a space, a page about something else.
   */
  parseHubAddress(address: string, options?: { endpoint?: string }): Repository | undefined;
  /**
   * Look for models by name, or for the adapters of a base; those that are downloaded most come first.
   *
   * @throws {LorafoldError} `fetch-failed`, `bad-option`, `aborted`.
   */
  searchModels(options?: SearchOptions): Promise<FoundModel[]>;
  /**
   * Upload files, such as those of a merge's result, as one commit: nothing is seen before all are there. Files that the hub has already are not sent again.
   *
   * @throws {LorafoldError} `fetch-failed`, `bad-option`, `aborted`.
   */
  upload(options: UploadOptions): Promise<UploadResult>;
}

/** What a platform knows of its user, and how it hashes. */
export interface HubUser {
  endpoint?: () => string | undefined;
  token?: () => Promise<string | undefined>;
  newHasher(): Hasher;
}

/** The API for a user. */
export function createHub({ endpoint: userEndpoint, token: userToken, newHasher }: HubUser): HubApi {
  const endpointOf = (given?: string) => (given ?? userEndpoint?.() ?? NETWORK.hubEndpoint).replace(/\/+$/, "");
  const access = (hub: HubOptions | undefined): HubAccess => {
    checkHub(hub);
    const token = hub?.token ?? userToken;
    return { endpoint: endpointOf(hub?.endpoint), ...(token !== undefined && { token }) };
  };
  return {
    parseHubAddress: (address, { endpoint } = {}) => parseRepository(address, endpointOf(endpoint)),
    searchModels: async (options = {}) => searchModels(options, access(options.hub)),
    async upload(options) {
      if (typeof options !== "object" || options === null) throw optionError("to", "not given");
      return upload(options, access(options.hub), newHasher);
    },
  };
}

