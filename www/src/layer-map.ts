import { freshId, make } from "./dom.js";
import { counted } from "./format.js";
import { layerRows, type Named } from "./layer-rows.js";
import { walkable } from "./layer-walk.js";

/** What a map shows of the tensors of a cell. */
export interface Shown<T> {
  title: string;
  /** Whether kinds of tensors of which one is such are shown. */
  counts(tensor: T): boolean;
  /** The cell's filling, and what it says in words. `undefined` where there is nothing to show. */
  cell(tensors: readonly T[]): { filling: HTMLElement[]; says: string } | undefined;
  /** What the colours mean. */
  scale: HTMLElement;
}

/** More rows than this say less, not more. */
const MOST_ROWS = 40;

/** The model as a map: a row for each kind of tensor that counts, a column for each layer. `undefined` where there is none. */
export function layerMap<T extends Named>(tensors: readonly T[], { title, counts, cell, scale }: Shown<T>): HTMLElement | undefined {
  const all = layerRows(tensors, counts);
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

function mapCell<T extends Named>(tensors: readonly T[], fill: Shown<T>["cell"], place: string): HTMLElement {
  const found = tensors.length > 0 ? fill(tensors) : undefined;
  const names = tensors.length > 1 ? `${tensors[0]!.name} and ${counted(tensors.length - 1, "other")}` : tensors[0]?.name;
  const says = names === undefined ? `${place}: no such tensor` : `${names}: ${found?.says ?? "not changed"}`;
  return make("div", { class: `map-cell${names === undefined ? " map-none" : ""}`, role: "gridcell", tabindex: -1, "aria-label": says }, ...(found?.filling ?? []));
}

/** The numbers of the layers below their columns, as many as there is room for. `last`: what the last column is, where it is no layer. */
export function axis(columns: number, last?: string): HTMLElement {
  const step = [1, 2, 4, 5, 10, 20, 25, 50, 100].find((wide) => columns / wide <= 16) ?? 200;
  const line = make("div", { class: "map-axis", "aria-hidden": "true" }, make("span", { class: "map-label" }, "layer"));
  line.style.setProperty("--columns", String(columns));
  const tick = (column: number, text: string) => {
    const at = make("span", {}, text);
    at.style.gridColumn = String(column + 2);
    line.append(at);
  };
  for (let layer = 0; layer < columns - (last === undefined ? 0 : 1); layer += step) tick(layer, String(layer));
  if (last !== undefined) tick(columns - 1, last);
  return line;
}
