import type { AdapterReport, Report, TensorReport } from "lorafold";
import type { Adapter } from "./adapter-list.js";
import { byId, make, share } from "./dom.js";
import { findingsList } from "./findings.js";
import { bytes, count, counted, digits } from "./format.js";
import { layerMap } from "./layer-map.js";
import { shownAdapters } from "./layer-shown.js";
import type { PlanState } from "./planner.js";
import { tensorTable } from "./tensor-table.js";

/** Show where planning stands. A plan that is being made again stays to be seen, marked as busy. */
export function showPlan(state: PlanState, adapters: readonly Adapter[]): void {
  const place = byId("plan-body");
  const details = byId("plan-details");
  const busy = state.kind === "working";
  for (const element of [place, details]) element.setAttribute("aria-busy", String(busy));
  if (busy && state.last) return;
  details.hidden = state.kind !== "ready";
  switch (state.kind) {
    case "incomplete":
      place.replaceChildren(make("p", { class: "invitation" }, state.missing));
      break;
    case "working":
      place.replaceChildren(make("p", { class: "invitation" }, "Reading headers…"));
      break;
    case "failed":
      place.replaceChildren();
      break;
    case "ready": {
      const toneOf = tones(adapters);
      place.replaceChildren(...summary(state.report, toneOf));
      byId("plan-details-body").replaceChildren(...inDetail(state.report, toneOf));
      openPlanDetails(true);
    }
  }
}

/** Details of the plan are in the way once there is a result. */
export function openPlanDetails(open: boolean): void {
  byId("plan-details").querySelector("details")!.open = open;
}

/** A tone for each adapter's name. */
export function tones(adapters: readonly Adapter[]): (name: string) => number {
  const byName = new Map(adapters.map((adapter) => [adapter.name, adapter.tone]));
  return (name) => byName.get(name) ?? 0;
}

function summary(report: Report, toneOf: (name: string) => number): HTMLElement[] {
  const coverages = make("ul", { class: "coverage" }, ...report.adapters.map((adapter) => coverage(adapter, toneOf(adapter.name))));
  return [facts(report), coverages, findingsList(report.findings)].filter((part) => part !== undefined);
}

function inDetail(report: Report, toneOf: (name: string) => number): HTMLElement[] {
  const names = report.adapters.map(({ name }) => name);
  const parts = [layerMap(report.tensors, shownAdapters(names, toneOf)), outputFiles(report), tensorTable(report.tensors, "planned")];
  return parts.filter((part) => part !== undefined);
}

function facts(report: Report): HTMLElement {
  const untouched = report.base.tensors - report.merged;
  return make("dl", { class: "facts" },
    fact("Tensors", `${count(report.merged)} merged`, untouched > 0 ? `${count(untouched)} ${whatElse(report, untouched)}` : "every one"),
    fact("Number types", ...types(report.tensors)),
    fact("Output", bytes(report.outputBytes), counted(report.files.length, "file")),
  );
}

function whatElse(report: Report, untouched: number): string {
  if (report.tensors.some(isConverted)) return "copied or converted";
  return untouched === 1 ? "copied as it is" : "copied as they are";
}

/** A figure with its name and a word about it, for a `dl`. */
export function fact(name: string, value: string, detail = ""): HTMLElement {
  return make("div", { class: "fact" }, make("dt", {}, name), make("dd", {}, make("span", { class: "fact-value" }, value), " ", make("span", { class: "fact-detail" }, detail)));
}

function isConverted(tensor: TensorReport): boolean {
  return tensor.dtype !== tensor.outputDtype;
}

/** The types as they will be, those of most tensors first, and what is converted. */
function types(tensors: readonly TensorReport[]): [string, string] {
  const tally = (names: string[]) => {
    const counts = new Map<string, number>();
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
  };
  const converted = tally(tensors.filter(isConverted).map((tensor) => `${tensor.dtype} → ${tensor.outputDtype}`));
  const all = tally(tensors.map((tensor) => tensor.outputDtype));
  const named = all.length > 3 ? `${all.slice(0, 3).join(", ")}, …` : all.join(", ");
  return [named, converted.length > 0 ? converted.join(", ") : "as in the base"];
}

function coverage(adapter: AdapterReport, tone: number): HTMLElement {
  const { name, matched, modules, scales, baseModel } = adapter;
  return make("li", { class: `tone-${tone}`, "data-testid": "coverage" },
    make("div", { class: "coverage-head" },
      make("span", { class: "coverage-name" }, name),
      make("span", { class: "coverage-count" }, `${count(matched)} of ${counted(modules, "module")} merged`),
    ),
    make("div", { class: "bar", "aria-hidden": "true" }, share(make("span"), modules > 0 ? matched / modules : 0)),
    ...scales.slice(0, 4).map(({ scale, why, tensors }) =>
      make("p", { class: "scale" }, make("b", {}, `scale ${digits(scale)}`), make("span", {}, ` because ${why}`),
        scales.length > 1 && make("span", { class: "fact-detail" }, `, in ${counted(tensors, "tensor")}`))),
    scales.length > 4 && make("p", { class: "scale" }, `and ${counted(scales.length - 4, "other scale")}, listed with the tensors`),
    baseModel !== null && make("p", { class: "scale fact-detail" }, `trained on ${baseModel}`),
  );
}

function outputFiles(report: Report): HTMLElement {
  return make("details", { class: "more" },
    make("summary", {}, `Output files, ${bytes(report.outputBytes)}`),
    make("ul", { class: "files", "data-testid": "planned-files" },
      ...report.files.map(({ name, size }) => make("li", {}, make("span", { class: "file-name code" }, name), make("span", { class: "file-size" }, bytes(size))))),
  );
}
