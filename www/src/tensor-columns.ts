import type { TensorReport } from "lorafold";
import { make } from "./dom.js";
import { digits, exactly, percentIfKnown, shape } from "./format.js";
import { fateText, keptByMethod } from "./fates.js";
import { keptOf } from "./kept.js";
import { type Column, nameColumn } from "./sorted-table.js";

/** What is done to a tensor, in a word. */
export const ACTIONS = { merge: "merged", convert: "converted", copy: "copied", replace: "replaced" } as const;

/** The columns for these tensors. Weights are shown where they stay: those of a plan still change, and no new plan is made for that. */
export function tensorColumns(tensors: readonly TensorReport[], withWeights: boolean): Column<TensorReport>[] {
  const figure = (heading: string, value: (tensor: TensorReport) => number | null | undefined): Column<TensorReport> | false =>
    tensors.some((tensor) => value(tensor) !== undefined) && {
      heading,
      // Nothing for what is not merged.
      cell: (tensor) => number(value(tensor) === undefined ? "" : percentIfKnown(value(tensor) ?? null)),
      key: (tensor) => value(tensor) ?? -1,
    };
  const added = (tensor: TensorReport) => (tensor.adapters ?? []).map(({ adapter, method, weight, scale, rank }) => {
    const scaled = scale === undefined ? `${adapter} (${method})` : `${digits(scale)} × ${adapter} (r ${rank})`;
    return `${withWeights ? `${exactly(weight)} × ` : ""}${scaled}`;
  }).join("; ");
  const types = ({ dtype, outputDtype }: TensorReport) => (dtype === outputDtype ? dtype : `${dtype} → ${outputDtype}`);
  const columns: (Column<TensorReport> | false)[] = [
    nameColumn(),
    { heading: "What happens", cell: (tensor) => text(happens(tensor)), key: happens },
    figure("Changed by", ({ statistics }) => statistics?.relativeNorm),
    figure("Kept", keptOf),
    tensors.some(({ deltas }) => deltas) && {
      heading: "Method kept", cell: ({ deltas = [] }) => make("td", {}, deltas.map(fateText).join("; ")), key: ({ deltas = [] }) => keptByMethod(deltas) ?? -1,
    },
    { heading: "Shape", cell: (tensor) => number(shape(tensor.shape)), key: (tensor) => tensor.shape.reduce((product, length) => product * length, 1) },
    { heading: "Type", cell: (tensor) => make("td", { class: "code" }, types(tensor)), key: types },
    { heading: "Added", cell: (tensor) => make("td", { class: "added", title: added(tensor) }, added(tensor)), key: added },
  ];
  return columns.filter((column) => column !== false);
}

const text = (content: string) => make("td", {}, content);
const number = (content: string) => make("td", { class: "number" }, content);
const happens = ({ action, transposed }: TensorReport) => ACTIONS[action] + (transposed ? ", transposed" : "");
