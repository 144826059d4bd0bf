import type { DeltaReport, TensorReport } from "lorafold";
import { percent } from "./format.js";
import { layerOf, MOST_LAYERS } from "./layer-rows.js";

/** What a method made of the values of an adapter's change. */
export type Fate = Pick<DeltaReport, "values" | "kept" | "elected">;

/** The fates of the adapters' changes in one layer, or in the tensors of none. */
export interface LayerFates {
  /** Its number; `undefined` for tensors that are in no layer. */
  layer: number | undefined;
  /** By the adapter's name. */
  fates: Map<string, Fate>;
}

/** Which share of the values is kept, and which is added in the end. */
export function shares({ values, kept, elected }: Fate): { kept: number; added: number } {
  return values > 0 ? { kept: kept / values, added: elected / values } : { kept: 0, added: 0 };
}

/** Of one adapter, in a table. */
export function fateText(fate: DeltaReport): string {
  const { kept, added } = shares(fate);
  return `${fate.adapter} ${percent(kept)}${added === kept ? "" : `, ${percent(added)} added`}`;
}

/** The share of all adapters' values that is kept; `undefined` where nothing was counted. */
export function keptByMethod(deltas: readonly Fate[]): number | undefined {
  return deltas.length > 0 ? shares(deltas.reduce(sum)).kept : undefined;
}

function sum(one: Fate, other: Fate): Fate {
  return { values: one.values + other.values, kept: one.kept + other.kept, elected: one.elected + other.elected };
}

/** Summed up by layers, in their order; what is in no layer comes last. */
export function fatesByLayer(tensors: readonly TensorReport[]): LayerFates[] {
  const layers = new Map<number | undefined, LayerFates>();
  for (const { name, deltas = [] } of tensors) {
    if (deltas.length === 0) continue;
    const found = layerOf(name)?.layer;
    const layer = found !== undefined && found < MOST_LAYERS ? found : undefined;
    const { fates } = layers.get(layer) ?? layers.set(layer, { layer, fates: new Map() }).get(layer)!;
    for (const delta of deltas) fates.set(delta.adapter, sum(fates.get(delta.adapter) ?? { values: 0, kept: 0, elected: 0 }, delta));
  }
  return [...layers.values()].sort((a, b) => (a.layer ?? Infinity) - (b.layer ?? Infinity));
}

/** Of all layers, by adapters. */
export function fatesOfAll(layers: readonly LayerFates[]): Map<string, Fate> {
  const all = new Map<string, Fate>();
  for (const [name, fate] of layers.flatMap(({ fates }) => [...fates])) {
    const before = all.get(name);
    all.set(name, before ? sum(before, fate) : fate);
  }
  return all;
}
