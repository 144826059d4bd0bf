/**
 * The hub without any WebAssembly: reading its addresses, searching it, uploading a merged model.
 *
 * @module lorafold/hub
 */
import { createHub, type HubApi } from "./hub/api.js";
import { Sha256 } from "./hub/sha256.js";

const hub = createHub({ newHasher: () => new Sha256() });

/** {@inheritDoc HubApi.parseHubAddress} @function */
export const parseHubAddress: HubApi["parseHubAddress"] = hub.parseHubAddress;
/** {@inheritDoc HubApi.searchModels} @function */
export const searchModels: HubApi["searchModels"] = hub.searchModels;
/** {@inheritDoc HubApi.upload} @function */
export const upload: HubApi["upload"] = hub.upload;

export * from "./hub/exports.js";
