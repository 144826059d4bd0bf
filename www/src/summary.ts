import type { Report, TensorReport, TensorStatistics } from "lorafold";

/** The statistics of a merge in a few numbers. */
export interface Summary {
  /** ‖ΔW‖/‖W‖ over all merged tensors; `null`, as the next, where that is beyond what can be added up. */
  relativeNorm: number | null;
  /** Share of ‖ΔW‖² that rounding kept. */
  signalKept: number | null;
  /** Share of elements of merged tensors whose bits changed. */
  changed: number;
  /** Merged tensors, the most changed first. */
  ranked: (TensorReport & { statistics: TensorStatistics })[];
}

/** Less than this kept is worth a warning. */
export const ENOUGH_KEPT = 0.9;

/** Summed over tensors; `undefined` where statistics were off. */
export function summarise({ tensors }: Report): Summary | undefined {
  const merged = tensors.filter((tensor): tensor is Summary["ranked"][number] => tensor.statistics !== undefined);
  if (merged.length === 0) return undefined;
  let [delta, base, kept, elements, changed] = [0, 0, 0, 0, 0];
  for (const { statistics, shape } of merged) {
    const size = shape.reduce((product, length) => product * length, 1);
    const deltaSquared = (statistics.deltaNorm ?? Infinity) ** 2;
    delta += deltaSquared;
    base += (statistics.baseNorm ?? Infinity) ** 2;
    kept += (statistics.signalKept ?? 1) * deltaSquared;
    elements += size;
    changed += (statistics.changed ?? 0) * size;
  }
  const ranked = [...merged].sort((a, b) => (b.statistics.relativeNorm ?? 0) - (a.statistics.relativeNorm ?? 0));
  return {
    relativeNorm: base > 0 ? finite(Math.sqrt(delta / base)) : 0,
    signalKept: delta > 0 ? finite(kept / delta) : 1,
    changed: elements > 0 ? changed / elements : 0,
    ranked,
  };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
