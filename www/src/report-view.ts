import type { Report, TensorReport } from "lorafold";
import { button, make, share } from "./dom.js";
import { downloadButton } from "./downloads.js";
import { fateChart } from "./fate-chart.js";
import { findingsList } from "./findings.js";
import { percent, percentIfKnown } from "./format.js";
import { isLost, type Kept, keptOf, keptOfAll } from "./kept.js";
import { layerMap } from "./layer-map.js";
import { shownChange, shownKept } from "./layer-shown.js";
import { fact } from "./plan-view.js";
import { summarise, type Summary } from "./summary.js";
import { tensorTable } from "./tensor-table.js";

/** Shown of the most changed tensors. */
const TOP = 8;

/** Where every tensor has kept this much, a map of it is one colour. */
const WHOLE = 0.99;

/** Merges once more, in a way that keeps more of the change: float32 keeps all, rounding by chance keeps it on average. */
export type KeepMore = (by: "float32" | "stochastic") => void;

/** What the merge did to the numbers. */
export function reportView(report: Report, keepMore: KeepMore, toneOf: (adapter: string) => number): HTMLElement {
  const json = new Blob([`${JSON.stringify(report, null, 2)}\n`], { type: "application/json" });
  const summary = summarise(report);
  const kept = summary ? { share: summary.signalKept, margin: 0, sampled: 1 } : keptOfAll(report);
  return make("div", { class: "report", "data-testid": "report" },
    make("h3", {}, "What it did"),
    summary || kept ? make("dl", { class: "facts" }, ...figures(summary, kept)) : make("p", { class: "hint" }, "Statistics were off."),
    kept && isLost(kept) && lostWarning(report, keepMore),
    // The package says the same of what is lost, without a button.
    findingsList(report.findings.filter(({ code }) => code !== "signal-lost")),
    fateChart(report, toneOf),
    ...maps(report.tensors),
    summary && saysMore(summary) && topTensors(summary),
    tensorTable(report.tensors, "merged"),
    downloadButton(json, "report.json"),
  );
}

function figures(summary: Summary | undefined, kept: Kept | undefined): HTMLElement[] {
  const told = [];
  if (summary) told.push(fact("Size of the change", percentIfKnown(summary.relativeNorm), "‖ΔW‖ / ‖W‖ of the merged tensors"));
  if (kept) {
    const { share, margin, sampled } = kept;
    const bound = margin === 0 || share === null ? "" : ` (${margin === null ? "estimated" : `± ${percent(margin)}`}, from ${percentIfKnown(sampled)} of the elements)`;
    told.push(fact("Signal kept", percentIfKnown(share), `of ‖ΔW‖², after rounding${bound}`));
  }
  if (summary) told.push(fact("Values changed", percentIfKnown(summary.changed), "of the merged tensors’ elements"));
  return told;
}

/** That rounding lost much, where it lost most, and a way to keep it. */
function lostWarning({ tensors, recipe }: Report, keepMore: KeepMore): HTMLElement {
  const types = [...new Set(tensors.filter((tensor) => tensor.action === "merge").map((tensor) => tensor.outputDtype))].join(", ");
  let least: { name: string; kept: number } | undefined;
  for (const tensor of tensors) {
    const kept = keptOf(tensor);
    if (typeof kept === "number" && (!least || kept < least.kept)) least = { name: tensor.name, kept };
  }
  const lost = `The change is partly lost to ${types}: its steps are wider than much of what was added.${least ? ` Least is kept of ${least.name}: ${percent(Math.max(0, least.kept))}.` : ""}`;
  return make("div", { class: "finding finding-warning", "data-testid": "signal-lost" },
    make("strong", { class: "finding-level" }, "Warning"),
    make("div", {}, make("p", {}, lost), make("div", { class: "choices" },
      button("Merge again in float32", { "data-testid": "merge-float32" }, () => keepMore("float32")),
      recipe.rounding === "nearest" && button("Merge again, rounding by chance", { "data-testid": "merge-stochastic" }, () => keepMore("stochastic")))));
}

/** One map for the change, and one for what rounding kept of it where that is not nearly everything everywhere. */
function maps(tensors: readonly TensorReport[]): (HTMLElement | undefined)[] {
  const change = shownChange(tensors);
  const isPartial = tensors.map(keptOf).some((kept) => typeof kept === "number" && kept < WHOLE);
  return [change && layerMap(tensors, change), isPartial ? layerMap(tensors, shownKept(keptOf)) : undefined];
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
