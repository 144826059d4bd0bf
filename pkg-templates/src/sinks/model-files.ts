/** What the user can do about an output that is not empty. */
export const REPLACES = "force replaces the model in it";

/** Whether a file is weights of a model, or an index of them. */
export function isWeights(name: string): boolean {
  return /\.safetensors(\.index\.json)?$/.test(name) && !name.startsWith("adapter_");
}

/** What makes tools add an adapter to the model of its folder. */
export const ADAPTER = "adapter_config.json";

const isIndex = (name: string) => isWeights(name) && name.endsWith(".index.json");

/** Names that tools take for weights of a model without reading an index. */
const isShard = (name: string) => isWeights(name) && (name === "model.safetensors" || /-\d{5,}-of-\d{5,}\.safetensors$/.test(name));

/**
 * The weights of the model in a folder, and their indexes: beside another model, tools would take them for part of it, as they would an adapter's
 * configuration, whose adapter they would add to it. Other weights (those of an adapter, a checkpoint of one file) do not belong to the model and are
 * left out.
 *
 * @param read gives the text of a file.
 */
export async function weightsOfModel(names: readonly string[], read: (name: string) => Promise<string>): Promise<string[]> {
  const indexed = new Set((await Promise.all(names.filter(isIndex).map(async (name) => shardsOf(await read(name).catch(() => ""))))).flat());
  return names.filter((name) => name === ADAPTER || isIndex(name) || isShard(name) || (indexed.has(name) && name.endsWith(".safetensors")));
}

/** The files that an index names; none where it cannot be parsed. */
function shardsOf(index: string): unknown[] {
  try {
    const { weight_map } = JSON.parse(index) as { weight_map: object };
    return Object.values(weight_map);
  } catch {
    return [];
  }
}

/** How much a file makes its folder a model: 2 for the configuration, 1 for an index, 0 for others. Without these no tool takes it for one. */
export function standing(name: string): number {
  return name === "config.json" ? 2 : Number(name.endsWith(".index.json"));
}

/** Files in the order in which they may appear in a folder: those that make it a model come last. */
export function inNamingOrder<F extends { name: string }>(files: readonly F[]): F[] {
  return [...files].sort((a, b) => standing(a.name) - standing(b.name));
}
