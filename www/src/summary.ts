import type { Report, TensorReport, TensorStatistics } from "lorafold";

/** The statistics of a merge in a few numbers. */
export interface Summary {
  /** ‖ΔW‖/‖W‖ over all merged tensors; `null`, as the next, where that is not known: beyond what can be added up, or nothing of nothing. */
  relativeNorm: number | null;
  /** Share of ‖ΔW‖² that rounding kept. */
  signalKept: number | null;
  /** Share of elements of merged tensors whose bits changed. */
  changed: number | null;
  /** Merged tensors, the most changed first. */
  ranked: (TensorReport & { statistics: TensorStatistics })[];
}

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
    // Where nothing was added there is nothing to keep.
    if (deltaSquared > 0) kept += (statistics.signalKept ?? Number.NaN) * deltaSquared;
    elements += size;
    if (size > 0) changed += (statistics.changed ?? Number.NaN) * size;
  }
  const ranked = [...merged].sort((a, b) => (b.statistics.relativeNorm ?? -1) - (a.statistics.relativeNorm ?? -1));
  return {
    relativeNorm: finite(Math.sqrt(delta / base)),
    signalKept: finite(kept / delta),
    changed: finite(changed / elements),
    ranked,
  };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
