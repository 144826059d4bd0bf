import type { Report } from "lorafold";
import { freshId, make, share } from "./dom.js";
import { type Fate, fatesByLayer, fatesOfAll, type LayerFates, shares } from "./fates.js";
import { count, percent } from "./format.js";
import { axis } from "./layer-map.js";
import { walkable } from "./layer-walk.js";

/**
 * What a method made of each adapter's change: of every layer a bar, how much of its values was kept, and how much of that was added. `undefined` where
 * the method takes nothing away, or nothing was counted.
 */
export function fateChart({ tensors, adapters }: Report, toneOf: (adapter: string) => number): HTMLElement | undefined {
  const layers = fatesByLayer(tensors);
  const all = fatesOfAll(layers);
  if (all.size === 0) return undefined;
  const elects = [...all.values()].some(({ kept, elected }) => elected < kept);
  const columns = columnsOf(layers);
  const heading = make("p", { class: "map-title", id: freshId("fates") }, "What the method made of each adapter’s change");
  const grid = make("div", { class: "map fates", role: "grid", "aria-labelledby": heading.id, "aria-readonly": "true" });
  grid.style.setProperty("--columns", String(columns.length));
  for (const { name } of adapters) {
    const whole = all.get(name);
    if (!whole) continue;
    grid.append(make("div", { class: `map-row tone-${toneOf(name)}`, role: "row" },
      make("span", { class: "fate-label", role: "rowheader" }, make("span", { class: "fate-name", title: name }, name), make("span", { class: "fate-whole" }, inWords(whole, elects))),
      ...columns.map((found) => bar(found?.fates.get(name), `${name}, ${called(found)}`, elects))));
  }
  const readout = make("p", { class: "map-readout", "aria-hidden": "true" });
  walkable(grid, (said) => (readout.textContent = said));
  const last = layers.at(-1)?.layer === undefined && columns.length > 1 ? "other" : undefined;
  return make("figure", { class: "map-figure", "data-testid": "fates" }, heading, grid, columns.length > 1 && axis(columns.length, last), readout, legend(elects), asTable(layers, elects));
}

/** A column for each layer up to the last, also for those of which there is nothing to show; then one for what is in none. */
function columnsOf(layers: readonly LayerFates[]): (LayerFates | undefined)[] {
  const numbered = layers.filter(({ layer }) => layer !== undefined);
  const columns: (LayerFates | undefined)[] = [];
  for (const one of numbered) columns[one.layer!] = one;
  return [...Array.from(columns), ...layers.filter(({ layer }) => layer === undefined)];
}

const called = (found: LayerFates | undefined) => (found === undefined ? "a layer without changes" : found.layer === undefined ? "outside the layers" : `layer ${found.layer}`);

function inWords(fate: Fate, elects: boolean): string {
  if (fate.values === 0) return "no change";
  const { kept, added } = shares(fate);
  return `${percent(kept)} kept${elects ? `, ${percent(added)} added` : ""}`;
}

/** A bar from below: what was added, then what was kept and not added; what is left above was dropped. */
function bar(fate: Fate | undefined, place: string, elects: boolean): HTMLElement {
  const says = fate ? `${place}: ${inWords(fate, elects)}, of ${count(fate.values)} values` : `${place}: not changed`;
  const { kept, added } = fate ? shares(fate) : { kept: 0, added: 0 };
  const part = (className: string, value: number) => share(make("span", { class: className }), value);
  return make("div", { class: `map-cell fate${fate ? "" : " map-none"}`, role: "gridcell", tabindex: -1, "aria-label": says }, fate && part("fate-added", added), fate && part("fate-kept", kept - added));
}

function legend(elects: boolean): HTMLElement {
  const entry = (className: string, text: string) => make("li", {}, make("span", { class: `map-swatch ${className}`, "aria-hidden": "true" }), text);
  return make("ul", { class: "map-legend" },
    entry("fate-added", elects ? "kept, with the elected sign: added" : "kept, and added"),
    ...(elects ? [entry("fate-kept", "kept, but of the other sign: left out")] : []),
    entry("fate-dropped", "dropped"),
    make("li", { class: "hint" }, "A bar is 100 % of an adapter’s values in a layer."));
}

/** The same numbers to be read, and to be copied. */
function asTable(layers: readonly LayerFates[], elects: boolean): HTMLElement {
  const details = make("details", { class: "more" }, make("summary", {}, "The same as a table"));
  const table = () => {
    const heading = (text: string) => make("th", { scope: "col" }, text);
    const number = (value: number) => make("td", { class: "number" }, count(value));
    const rows = layers.flatMap(({ layer, fates }) => [...fates].map(([name, { values, kept, elected }]) => make("tr", {},
      make("th", { scope: "row" }, layer === undefined ? "other" : String(layer)), make("td", {}, name), number(values), number(kept), elects && number(elected))));
    return make("div", { class: "scroll", role: "region", "aria-label": "What the method made of each adapter’s change, as a table", tabindex: 0 },
      make("table", { class: "plain" }, make("thead", {}, make("tr", {}, heading("Layer"), heading("Adapter"), heading("Values"), heading("Kept"), elects && heading("Added"))), make("tbody", {}, ...rows)));
  };
  details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(table()));
  return details;
}
