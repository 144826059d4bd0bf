/** Weights, or an index of them: beside a model that is not theirs, tools would take them for part of it. */
export function isWeights(name: string): boolean {
  return /\.safetensors(\.index\.json)?$/.test(name) && !name.startsWith("adapter_");
}

/** Without its configuration, and without the index of its shards, no tool takes a folder for a model: 2 and 1, and 0 for every other file. */
export function standing(name: string): number {
  return name === "config.json" ? 2 : Number(name.endsWith(".index.json"));
}

/** Files in the order in which they may appear in a folder: those that make it a model come last. */
export function inNamingOrder<F extends { name: string }>(files: readonly F[]): F[] {
  return [...files].sort((a, b) => standing(a.name) - standing(b.name));
}
