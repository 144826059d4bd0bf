import type { TensorReport } from "lorafold";
import { tableOf } from "./sorted-table.js";
import { ACTIONS, tensorColumns } from "./tensor-columns.js";

/** Every tensor of a plan or a result. What is `planned` is shown without weights. */
export function tensorTable(tensors: readonly TensorReport[], stage: "planned" | "merged"): HTMLElement {
  const label = stage === "planned" ? "Tensors of the plan" : "Tensors of the result";
  const kinds = { label: "What happens to the tensor", values: ACTIONS, of: ({ action }: TensorReport) => action };
  return tableOf(() => ({ label, tensors, columns: tensorColumns(tensors, stage === "merged"), kinds }), tensors.length);
}
