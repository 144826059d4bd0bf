/** The API, the same at every entry point. */
export { LorafoldError, type ErrorCode } from "./errors.js";
export { inspect } from "./inspect.js";
export { merge } from "./merge.js";
export { openMerged } from "./merged/model.js";
export { plan } from "./plan.js";
export type * from "./types.js";
