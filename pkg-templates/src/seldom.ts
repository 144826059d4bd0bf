/** What few pages call, loaded as one when one of them is. */
export { combine } from "./factors/combine.js";
export { extract } from "./factors/extract.js";
export { repeat } from "./provenance/repeat.js";
export { unmerge } from "./unmerge.js";
export { verify } from "./verify.js";
