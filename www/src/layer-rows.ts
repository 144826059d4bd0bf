/** Whatever is told of a tensor. */
export interface Named {
  readonly name: string;
}

/** One kind of tensor (`self_attn.q_proj`), with the tensors of every layer. */
export interface LayerRow<T> {
  label: string;
  layers: T[][];
}

/** A number in a name beyond this is no layer: vocabularies and the like. */
export const MOST_LAYERS = 1000;

/** The layer that a tensor is in: the first number in its name. */
export function layerOf(name: string): { layer: number; before: string; after: string } | undefined {
  const [, before = "", layer, after = ""] = /^(.*?)(?:^|\.)(\d+)\.(.*)$/.exec(name) ?? [];
  return layer === undefined ? undefined : { layer: Number(layer), before, after };
}

/** Tensors by kind and layer; only kinds of which one `counts`. */
export function layerRows<T extends Named>(tensors: readonly T[], counts: (tensor: T) => boolean): LayerRow<T>[] {
  const rows = new Map<string, LayerRow<T>>();
  for (const tensor of tensors) {
    const found = layerOf(tensor.name);
    if (found && found.layer >= MOST_LAYERS) continue;
    // Further numbers (experts) share a cell.
    const kind = found ? `${found.before}.*.${found.after.replace(/(^|\.)\d+(?=\.)/g, "$1*")}` : tensor.name;
    const row = rows.get(kind) ?? { label: (found?.after ?? tensor.name).replace(/\.weight$/, ""), layers: [] };
    (row.layers[found?.layer ?? 0] ??= []).push(tensor);
    rows.set(kind, row);
  }
  const counting = [...rows.values()].filter((row) => row.layers.some((cell) => cell?.some(counts)));
  // Layers that are not there leave gaps.
  return counting.map(({ label, layers }) => ({ label, layers: Array.from(layers, (cell) => cell ?? []) }));
}
