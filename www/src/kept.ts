import type { TensorReport } from "lorafold";

/** Which share of ‖ΔW‖² rounding kept of a tensor; `null` where that is not known, `undefined` where nothing was rounded or measured. */
export function keptOf({ statistics }: TensorReport): number | null | undefined {
  return statistics?.signalKept;
}
