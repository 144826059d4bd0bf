/** Weights, or an index of them: beside a model that is not theirs, tools would take them for part of it. */
export function isWeights(name: string): boolean {
  return /\.safetensors(\.index\.json)?$/.test(name) && !name.startsWith("adapter_");
}
