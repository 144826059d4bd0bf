/** What `lorafold/hub` exports beside its functions, in Node and elsewhere. */
export type { HubApi } from "./api.js";
export type { FoundModel, SearchOptions } from "./search.js";
export type { NamedBlob, UploadFile, UploadOptions, UploadProgress, UploadResult } from "./upload.js";
export type { Repository } from "../sources/repository.js";
export type { HubOptions } from "../types.js";
export { LorafoldError, type ErrorCode, type ErrorFacts, type ErrorKind } from "../errors.js";
