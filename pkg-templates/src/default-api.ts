import { type Api, createApi } from "./api.js";
import { defaultContext } from "./default-context.js";

/** The API of `lorafold/slim` and `lorafold/edge`: every call uses what is set up by then. */
const api = createApi(defaultContext);

/** {@inheritDoc Api.inspect} @function */
export const inspect: Api["inspect"] = api.inspect;
/** {@inheritDoc Api.combine} @function */
export const combine: Api["combine"] = api.combine;
/** {@inheritDoc Api.extract} @function */
export const extract: Api["extract"] = api.extract;
/** {@inheritDoc Api.merge} @function */
export const merge: Api["merge"] = api.merge;
/** {@inheritDoc Api.openMerged} @function */
export const openMerged: Api["openMerged"] = api.openMerged;
/** {@inheritDoc Api.plan} @function */
export const plan: Api["plan"] = api.plan;
/** {@inheritDoc Api.repeat} @function */
export const repeat: Api["repeat"] = api.repeat;
/** {@inheritDoc Api.unmerge} @function */
export const unmerge: Api["unmerge"] = api.unmerge;
/** {@inheritDoc Api.verify} @function */
export const verify: Api["verify"] = api.verify;
