import type { Report, TensorReport } from "lorafold";
import { button, make, share } from "./dom.js";
import { downloadUrl } from "./downloads.js";
import { findingsList } from "./findings.js";
import { percentIfKnown } from "./format.js";
import { layerMap } from "./layer-map.js";
import { keptOf } from "./kept.js";
import { shownChange, shownKept } from "./layer-shown.js";
import { fact } from "./plan-view.js";
import { ENOUGH_KEPT, summarise, type Summary } from "./summary.js";
import { tensorTable } from "./tensor-table.js";

/** Shown of the most changed tensors. */
const TOP = 8;

/** Where every tensor has kept this much, a map of it is one colour. */
const WHOLE = 0.99;

/** What the merge did to the numbers. */
export function reportView(report: Report, mergeAs: (dtype: "float32") => void): HTMLElement {
  const json = new Blob([`${JSON.stringify(report, null, 2)}\n`], { type: "application/json" });
  const summary = summarise(report);
  return make("div", { class: "report", "data-testid": "report" },
    make("h3", {}, "What it did"),
    ...(summary ? summaryView(summary, report, mergeAs) : [make("p", { class: "hint" }, "Statistics were off.")]),
    findingsList(report.findings),
    ...maps(report.tensors),
    summary && saysMore(summary) && topTensors(summary),
    tensorTable(report.tensors, "merged"),
    make("p", {}, make("a", { class: "button", href: downloadUrl(json), download: "report.json", "data-testid": "report-json" }, "Download report.json")),
  );
}

function summaryView({ relativeNorm, signalKept, changed }: Summary, report: Report, mergeAs: (dtype: "float32") => void): HTMLElement[] {
  const numbers = make("dl", { class: "facts" },
    fact("Size of the change", percentIfKnown(relativeNorm), "‖ΔW‖ / ‖W‖ of the merged tensors"),
    fact("Signal kept", percentIfKnown(signalKept), "of ‖ΔW‖², after rounding"),
    fact("Values changed", percentIfKnown(changed), "of the merged tensors’ elements"),
  );
  if (signalKept === null || signalKept >= ENOUGH_KEPT) return [numbers];
  const types = [...new Set(report.tensors.filter((tensor) => tensor.action === "merge").map((tensor) => tensor.outputDtype))].join(", ");
  const lost = `The change is partly lost to ${types}: its steps are wider than much of what was added.`;
  return [numbers, make("div", { class: "finding finding-warning", "data-testid": "signal-lost" },
    make("strong", { class: "finding-level" }, "Warning"),
    make("div", {}, make("p", {}, lost), button("Merge again in float32", { "data-testid": "merge-float32" }, () => mergeAs("float32"))))];
}

/** One map for the change, and one for what rounding kept of it where that is not nearly everything everywhere. */
function maps(tensors: readonly TensorReport[]): (HTMLElement | undefined)[] {
  const change = shownChange(tensors);
  const isLost = tensors.map(keptOf).some((kept) => typeof kept === "number" && kept < WHOLE);
  return [change && layerMap(tensors, change), isLost ? layerMap(tensors, shownKept(keptOf)) : undefined];
}

/** A list of the most changed says more than the map where there are more tensors than it names, and some stand out. */
function saysMore({ ranked }: Summary): boolean {
  const [first, median] = [ranked[0], ranked[Math.floor(ranked.length / 2)]].map((tensor) => tensor?.statistics.relativeNorm ?? 0);
  return ranked.length > TOP && first! >= 2 * median!;
}

function topTensors({ ranked }: Summary): HTMLElement {
  const largest = ranked[0]?.statistics.relativeNorm || 1;
  return make("div", {},
    make("h3", {}, "Most changed"),
    make("ol", { class: "top" },
      ...ranked.slice(0, TOP).map(({ name, statistics }) => {
        const change = statistics.relativeNorm;
        return make("li", {},
          make("span", { class: "code top-name" }, name.replace(/\.weight$/, "")),
          make("span", { class: "top-value" }, percentIfKnown(change)),
          make("span", { class: "bar", "aria-hidden": "true" }, share(make("span"), (change ?? 0) / largest)));
      })),
  );
}
