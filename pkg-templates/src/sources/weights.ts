import type { Role } from "./input.js";

/** Whether a file stands for the folder it is in: of a configuration or an index alone nothing can be merged. */
export const standsForFolder = (name: string): boolean => /^((adapter_)?config|.+\.index)\.json$/.test(name);

/** What a model or adapter in one file is called: the file's name without its ending. */
export const withoutEnding = (name: string): string => name.replace(/\.(safetensors|bin)$/, "");

/** Whether a folder of files of these names, given as an adapter, holds a whole fine-tuned model (`plan/tuned.rs`): it is read beside the base, and never held. */
export const holdsModel = (names: readonly string[]): boolean => !names.some((name) => name.startsWith("adapter_")) && names.some((name) => name === "config.json" || name.endsWith(".index.json"));

/** Files of torch that trainers leave beside weights. */
const NO_WEIGHTS = /^(training_args|optimizer|scheduler|scaler)\.bin$/;

/**
 * Which files of a folder may be its weights, by their names. The crate decides which are (`container/format.rs`): files of torch only where there are no
 * safetensors.
 */
export function mayBeWeights(names: readonly string[], role: Role): (name: string) => boolean {
  // What macOS leaves beside a file on a foreign volume is no model's.
  const isAdapter = (name: string) => name.startsWith("adapter_") || name.startsWith("._");
  const counts = (name: string) => role === "adapter" || !isAdapter(name);
  if (names.some((name) => /\.safetensors(\.index\.json)?$/.test(name) && counts(name))) return (name) => name.endsWith(".safetensors");
  if (role === "adapter") return (name) => name.endsWith(".bin") && !NO_WEIGHTS.test(name);
  return (name) => /pytorch_model.*\.bin$/.test(name) && !isAdapter(name);
}
