import type { Report, TensorReport } from "lorafold";

/** What rounding kept of the change of all tensors, as a share of ‖ΔW‖². */
export interface Kept {
  share: number | null;
  /** The true share is most likely within this of it: 0 where every element was looked at, `null` where that is not known. */
  margin: number | null;
  /** Share of the elements that were looked at. */
  sampled: number | null;
}

/** Less than this kept is worth a warning. */
const ENOUGH = 0.9;

/** Which share of ‖ΔW‖² rounding kept of a tensor; `null` where that is not known, `undefined` where nothing was rounded or measured. */
export function keptOf(tensor: TensorReport): number | null | undefined {
  return tensor.statistics ? tensor.statistics.signalKept : tensor.signal?.kept;
}

/** The same over all tensors, where statistics were off; `undefined` where nothing was estimated. */
export function keptOfAll({ signal }: Report): Kept | undefined {
  return signal && { share: signal.kept ?? null, margin: signal.margin ?? null, sampled: signal.sampled ?? null };
}

/** Whether so much is lost that it is no chance of the sample. */
export function isLost({ share, margin }: Kept): boolean {
  return share !== null && margin !== null && share + margin < ENOUGH;
}
