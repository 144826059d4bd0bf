import type { TensorReport } from "lorafold";

/** One kind of tensor (`self_attn.q_proj`), with the tensors of every layer. */
export interface LayerRow {
  label: string;
  layers: TensorReport[][];
}

/** A number in a name beyond this is no layer: vocabularies and the like. */
const MOST_LAYERS = 1000;

/** Tensors by kind and layer; only kinds of which one is merged. The first number in a name is its layer. */
export function layerRows(tensors: readonly TensorReport[]): LayerRow[] {
  const rows = new Map<string, LayerRow>();
  for (const tensor of tensors) {
    const [, before = "", layer, after = ""] = /^(.*?)(?:^|\.)(\d+)\.(.*)$/.exec(tensor.name) ?? [];
    // Further numbers (experts) share a cell.
    const kind = layer === undefined ? tensor.name : `${before}.*.${after.replace(/(^|\.)\d+(?=\.)/g, "$1*")}`;
    const label = (layer === undefined ? tensor.name : after).replace(/\.weight$/, "");
    const row = rows.get(kind) ?? { label, layers: [] };
    const column = layer === undefined ? 0 : Number(layer);
    if (column >= MOST_LAYERS) continue;
    (row.layers[column] ??= []).push(tensor);
    rows.set(kind, row);
  }
  const merged = [...rows.values()].filter((row) => row.layers.some((cell) => cell?.some((tensor) => tensor.action === "merge")));
  // Layers that are not there leave gaps.
  return merged.map(({ label, layers }) => ({ label, layers: Array.from(layers, (cell) => cell ?? []) }));
}
