import type { Report } from "lorafold";
import type { Adapter } from "./adapter-list.js";
import { make, share } from "./dom.js";
import { downloadUrl } from "./downloads.js";
import { findingsList } from "./findings.js";
import { percentIfKnown } from "./format.js";
import { layerMap } from "./layer-map.js";
import { fact, tones } from "./plan-view.js";
import { ENOUGH_KEPT, summarise, type Summary } from "./summary.js";
import { tensorTable } from "./tensor-table.js";

/** Shown of the most changed tensors. */
const TOP = 8;

/** What the merge did to the numbers. */
export function reportView(report: Report, adapters: readonly Adapter[]): HTMLElement {
  const json = new Blob([`${JSON.stringify(report, null, 2)}\n`], { type: "application/json" });
  const summary = summarise(report);
  return make("div", { class: "report", "data-testid": "report" },
    make("h3", {}, "What it did"),
    ...(summary ? summaryView(summary, report) : [make("p", { class: "hint" }, "Statistics were off.")]),
    findingsList(report.findings),
    summary && layerMap(report.tensors, "change", tones(adapters)),
    summary && topTensors(summary),
    tensorTable(report.tensors, "merged"),
    make("p", {}, make("a", { class: "button", href: downloadUrl(json), download: "report.json", "data-testid": "report-json" }, "Download report.json")),
  );
}

function summaryView({ relativeNorm, signalKept, changed }: Summary, report: Report): HTMLElement[] {
  const numbers = make("dl", { class: "facts" },
    fact("Size of the change", percentIfKnown(relativeNorm), "‖ΔW‖ / ‖W‖ of the merged tensors"),
    fact("Signal kept", percentIfKnown(signalKept), "of ‖ΔW‖², after rounding"),
    fact("Values changed", percentIfKnown(changed), "of the merged tensors’ elements"),
  );
  if (signalKept === null || signalKept >= ENOUGH_KEPT) return [numbers];
  const types = [...new Set(report.tensors.filter((tensor) => tensor.action === "merge").map((tensor) => tensor.outputDtype))].join(", ");
  const lost = `The change is partly lost to ${types}: its steps are wider than much of what was added. Merge with the number type float32 to keep it.`;
  return [numbers, make("p", { class: "finding finding-warning", "data-testid": "signal-lost" }, make("strong", { class: "finding-level" }, "Warning"), make("span", {}, lost))];
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
