import type { Names } from "../options.js";
import type { CombineSettings, ExtractSettings } from "../schema.js";
import type { CombineOptions, ExtractOptions, MakeOptions } from "../types.js";

export const COMBINE_SETTINGS: Names<CombineSettings> = { method: true, rank: true, energy: true, density: true, majoritySign: true, seed: true, dtype: true };
export const EXTRACT_SETTINGS: Names<ExtractSettings> = { rank: true, energy: true, others: true, only: true, skip: true, seed: true, dtype: true };
const MAKE_OPTIONS: Names<MakeOptions> = { hub: true, signal: true, output: true, workers: true, onProgress: true, force: true };
export const COMBINE_OPTIONS: Names<CombineOptions> = { adapters: true, base: true, ...COMBINE_SETTINGS, ...MAKE_OPTIONS };
export const EXTRACT_OPTIONS: Names<ExtractOptions> = { base: true, tuned: true, ...EXTRACT_SETTINGS, ...MAKE_OPTIONS };
