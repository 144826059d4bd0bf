import type { TensorReport } from "lorafold";
import { freshId, make } from "./dom.js";
import { counted } from "./format.js";
import { layerRows } from "./layer-rows.js";
import { walkable } from "./layer-walk.js";

/** What a map shows of the tensors of a cell. */
export interface Shown {
  title: string;
  /** The cell's filling, and what it says in words. `undefined` where there is nothing to show. */
  cell(tensors: readonly TensorReport[]): { filling: HTMLElement[]; says: string } | undefined;
  /** What the colours mean. */
  scale: HTMLElement;
}

/** More rows than this say less, not more. */
const MOST_ROWS = 40;

/** The model as a map: a row for each kind of merged tensor, a column for each layer. `undefined` where nothing is merged. */
export function layerMap(tensors: readonly TensorReport[], { title, cell, scale }: Shown): HTMLElement | undefined {
  const all = layerRows(tensors);
  if (all.length === 0) return undefined;
  const rows = all.slice(0, MOST_ROWS);
  const columns = Math.max(...rows.map((row) => row.layers.length));
  const heading = make("p", { class: "map-title", id: freshId("map") }, title);
  const grid = make("div", { class: "map", role: "grid", "aria-labelledby": heading.id, "aria-readonly": "true" });
  grid.style.setProperty("--columns", String(columns));
  for (const { label, layers } of rows) {
    grid.append(make("div", { class: "map-row", role: "row" },
      make("span", { class: "map-label code", role: "rowheader", title: label }, label),
      ...Array.from({ length: columns }, (_, layer) => mapCell(layers[layer] ?? [], cell, `${label}${columns > 1 ? `, layer ${layer}` : ""}`))));
  }
  const readout = make("p", { class: "map-readout", "aria-hidden": "true" });
  walkable(grid, (said) => (readout.textContent = said));
  const rest = all.length > rows.length && make("p", { class: "hint" }, `${counted(all.length - rows.length, "more row")} not shown.`);
  return make("figure", { class: "map-figure", "data-testid": "layer-map" }, heading, grid, columns > 1 && axis(columns), readout, scale, rest);
}

function mapCell(tensors: readonly TensorReport[], fill: Shown["cell"], place: string): HTMLElement {
  const found = tensors.length > 0 ? fill(tensors) : undefined;
  const names = tensors.length > 1 ? `${tensors[0]!.name} and ${counted(tensors.length - 1, "other")}` : tensors[0]?.name;
  const says = names === undefined ? `${place}: no such tensor` : `${names}: ${found?.says ?? "not changed"}`;
  return make("div", { class: `map-cell${names === undefined ? " map-none" : ""}`, role: "gridcell", tabindex: -1, "aria-label": says }, ...(found?.filling ?? []));
}

/** The numbers of the layers below their columns, as many as there is room for. */
function axis(columns: number): HTMLElement {
  const step = [1, 2, 4, 5, 10, 20, 25, 50, 100].find((wide) => columns / wide <= 16) ?? 200;
  const line = make("div", { class: "map-axis", "aria-hidden": "true" }, make("span", { class: "map-label" }, "layer"));
  line.style.setProperty("--columns", String(columns));
  for (let layer = 0; layer < columns; layer += step) {
    const tick = make("span", {}, String(layer));
    tick.style.gridColumn = String(layer + 2);
    line.append(tick);
  }
  return line;
}
