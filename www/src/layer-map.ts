import type { TensorReport } from "lorafold";
import { make, makeSvg, share } from "./dom.js";
import { percentIfKnown } from "./format.js";

/** What the cells show: which adapters touch a tensor, or how much it changed. */
export type Shown = "adapters" | "change";

/** One kind of tensor (`self_attn.q_proj`), with the tensors of every layer. */
interface Row {
  label: string;
  layers: TensorReport[][];
}

/** More rows than this say less, not more. */
const MOST_ROWS = 40;

/** The model as a map: a row for each kind of merged tensor, a column for each layer. `undefined` where nothing is merged. */
export function layerMap(tensors: readonly TensorReport[], shown: Shown, toneOf: (adapter: string) => number): HTMLElement | undefined {
  const all = rowsOf(tensors);
  if (all.length === 0) return undefined;
  const rows = all.slice(0, MOST_ROWS);
  const columns = Math.max(...rows.map((row) => row.layers.length));
  const strongest = mostChanged(tensors.filter(({ statistics }) => statistics));
  const map = make("div", { class: "layer-map", role: "list" });
  map.style.setProperty("--columns", String(columns));
  for (const row of rows) {
    const svg = makeSvg("svg", { viewBox: `0 0 ${columns * 10} 10`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" });
    row.layers.forEach((cell, column) => svg.append(...(shown === "adapters" ? adapterCell(cell, column, toneOf) : changeCell(cell, column, strongest))));
    map.append(make("div", { class: "layer-row", role: "listitem" },
      make("span", { class: "layer-label code" }, row.label), svg, make("span", { class: "visually-hidden" }, spoken(row, shown))));
  }
  const caption = columns > 1 ? `One column for each of ${columns} layers` : "One cell for each tensor";
  const meaning = shown === "adapters" ? "a cell has the colours of the adapters that are added to it." : strongest === null ? "how much it changed is not known." : `the stronger the colour, the more it changed (up to ${percentIfKnown(strongest)}).`;
  const rest = all.length > rows.length ? ` ${all.length - rows.length} more rows are not shown.` : "";
  return make("figure", { class: "layer-figure" }, map, make("figcaption", { class: "hint" }, `${caption}; ${meaning}${rest}`));
}

/** Tensors by kind and layer; only kinds of which one is merged. The first number in a name is its layer. */
function rowsOf(tensors: readonly TensorReport[]): Row[] {
  const rows = new Map<string, Row>();
  for (const tensor of tensors) {
    const [, before = "", layer, after = ""] = /^(.*?)(?:^|\.)(\d+)\.(.*)$/.exec(tensor.name) ?? [];
    // Further numbers (experts) share a cell.
    const kind = layer === undefined ? tensor.name : `${before}.*.${after.replace(/(^|\.)\d+(?=\.)/g, "$1*")}`;
    const label = (layer === undefined ? tensor.name : after).replace(/\.weight$/, "");
    const row = rows.get(kind) ?? { label, layers: [] };
    const column = layer === undefined ? 0 : Number(layer);
    // A number that is no layer: vocabularies and the like.
    if (column > 999) continue;
    (row.layers[column] ??= []).push(tensor);
    rows.set(kind, row);
  }
  const merged = [...rows.values()].filter((row) => row.layers.some((cell) => cell?.some((tensor) => tensor.action === "merge")));
  // Layers that are not there leave gaps.
  return merged.map(({ label, layers }) => ({ label, layers: Array.from(layers, (cell) => cell ?? []) }));
}

function rect(column: number, part: number, of: number, className: string, title: string): SVGRectElement {
  const width = 9 / of;
  return makeSvg("rect", { x: column * 10 + 0.5 + part * width, y: 0.5, width, height: 9, class: className }, makeSvg("title", {}, title));
}

function adapterCell(cell: TensorReport[], column: number, toneOf: (adapter: string) => number): SVGElement[] {
  if (cell.length === 0) return [];
  const adapters = [...new Set(cell.flatMap((tensor) => tensor.adapters?.map(({ adapter }) => adapter) ?? []))];
  const title = `${cell[0]!.name}: ${adapters.join(", ") || "not changed"}`;
  if (adapters.length === 0) return [rect(column, 0, 1, "cell-copied", title)];
  return adapters.map((adapter, part) => rect(column, part, adapters.length, `cell tone-${toneOf(adapter)}`, title));
}

/** The largest change that is known of some tensors; those that are not merged have none. */
function mostChanged(tensors: readonly TensorReport[]): number | null {
  const known = tensors.map(({ statistics }) => (statistics ? statistics.relativeNorm : 0)).filter((change) => change !== null);
  return known.length > 0 ? Math.max(...known) : null;
}

function changeCell(cell: TensorReport[], column: number, strongest: number | null): SVGElement[] {
  if (cell.length === 0) return [];
  const change = mostChanged(cell);
  const title = `${cell[0]!.name}: change: ${percentIfKnown(change)}`;
  if (!change || !strongest) return [rect(column, 0, 1, "cell-copied", title)];
  return [share(rect(column, 0, 1, "cell-change", title), change / strongest)];
}

function spoken(row: Row, shown: Shown): string {
  const there = row.layers.filter((cell) => cell.length > 0);
  const merged = there.filter((cell) => cell.some((tensor) => tensor.action === "merge")).length;
  if (shown === "adapters") return `merged in ${merged} of ${there.length} layers`;
  const changes = there.map(mostChanged).filter((change) => change !== null);
  if (changes.length === 0) return "change not known";
  return `changed by ${percentIfKnown(Math.min(...changes))} to ${percentIfKnown(Math.max(...changes))}`;
}
