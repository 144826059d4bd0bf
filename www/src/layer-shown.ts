import type { TensorReport } from "lorafold";
import { make, share } from "./dom.js";
import { percent } from "./format.js";
import type { Shown } from "./layer-map.js";

const isMerged = ({ action }: TensorReport) => action === "merge";

/** Which adapters are added where, each in its colour. */
export function shownAdapters(names: readonly string[], toneOf: (adapter: string) => number): Shown<TensorReport> {
  return {
    title: "What is added where",
    counts: isMerged,
    cell: (tensors) => {
      const adapters = [...new Set(tensors.flatMap((tensor) => tensor.adapters?.map(({ adapter }) => adapter) ?? []))];
      if (adapters.length === 0) return undefined;
      return { filling: adapters.map((adapter) => make("span", { class: `map-fill tone-${toneOf(adapter)}` })), says: adapters.join(", ") };
    },
    scale: make("ul", { class: "map-legend" }, ...names.map((name) => make("li", {}, make("span", { class: `map-swatch tone-${toneOf(name)}`, "aria-hidden": "true" }), name))),
  };
}

/** How much each tensor changed, against the most changed one. `undefined` where nothing is known of that. */
export function shownChange(tensors: readonly TensorReport[]): Shown<TensorReport> | undefined {
  if (!tensors.some(({ statistics }) => statistics)) return undefined;
  const strongest = most(tensors);
  return {
    title: "How much each tensor changed",
    counts: isMerged,
    cell: (some) => {
      const merged = some.filter(({ statistics }) => statistics);
      if (merged.length === 0) return undefined;
      const change = most(merged);
      return { filling: change && strongest ? [shade("map-change", change / strongest)] : [], says: change === null ? "change not known" : `changed by ${percent(change)}` };
    },
    scale: strongest ? gradient("map-change", "0 %", percent(strongest), "‖ΔW‖ / ‖W‖") : make("p", { class: "hint" }, strongest === null ? "How much is not known." : "Nothing changed."),
  };
}

/** What rounding kept of each tensor's change. */
export function shownKept(kept: (tensor: TensorReport) => number | null | undefined): Shown<TensorReport> {
  return {
    title: "What rounding kept of the change",
    counts: isMerged,
    cell: (some) => {
      const known = some.map(kept).filter((value) => value !== undefined);
      if (known.length === 0) return undefined;
      // Of several the worst, and what is not known is no good news either.
      const least = known.includes(null) ? null : Math.max(0, Math.min(...(known as number[])));
      return { filling: least === null ? [] : [shade("map-kept", Math.min(1, least))], says: least === null ? "not known what was kept" : `${percent(least)} kept` };
    },
    scale: gradient("map-kept", "0 %", "100 %", "of ‖ΔW‖²"),
  };
}

/** The largest change that is known. */
function most(tensors: readonly TensorReport[]): number | null {
  const known = tensors.map(({ statistics }) => statistics?.relativeNorm).filter((change) => typeof change === "number");
  return known.length > 0 ? Math.max(...known) : null;
}

function shade(className: string, part: number): HTMLElement {
  return share(make("span", { class: `map-fill ${className}` }), part);
}

function gradient(className: string, low: string, high: string, of: string): HTMLElement {
  return make("p", { class: "map-scale" }, make("span", {}, low), make("span", { class: `map-gradient ${className}`, "aria-hidden": "true" }), make("span", {}, high), make("span", { class: "hint" }, of));
}
