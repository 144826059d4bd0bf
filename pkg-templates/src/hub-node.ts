/**
 * `lorafold/hub` in Node: the same, for whoever has set `HF_TOKEN` or `HF_ENDPOINT`, or has logged in with the hub's own command line.
 *
 * @module lorafold/hub (Node)
 */
import { createHash } from "node:crypto";
import { createHub, type HubApi } from "./hub/api.js";
import { userEndpoint, userToken } from "./node/hub-user.js";

const hub = createHub({
  endpoint: userEndpoint,
  token: userToken,
  newHasher() {
    const hash = createHash("sha256");
    return { update: (bytes) => hash.update(bytes), hex: () => hash.digest("hex") };
  },
});

/** {@inheritDoc HubApi.parseHubAddress} @function */
export const parseHubAddress: HubApi["parseHubAddress"] = hub.parseHubAddress;
/** {@inheritDoc HubApi.searchModels} @function */
export const searchModels: HubApi["searchModels"] = hub.searchModels;
/** {@inheritDoc HubApi.upload} @function */
export const upload: HubApi["upload"] = hub.upload;

export * from "./hub/exports.js";
