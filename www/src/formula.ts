import type { AdapterReport } from "lorafold";
import type { Adapter } from "./adapter-list.js";
import { make } from "./dom.js";
import { digits, exactly } from "./format.js";
import { METHODS, type MethodName } from "./methods.js";

/** The merge as a formula, which changes as weights do: W′ = W + 1 · 2 · BA − 0.5 · 4 · BA. Scales come with the plan. */
export function formula(adapters: readonly Adapter[], planned: readonly AdapterReport[], name: MethodName): HTMLElement {
  const { label: method, weightless } = METHODS[name];
  const isSum = name === "linear";
  const terms = adapters.map((adapter) => {
    const report = planned.find((report) => report.name === adapter.name);
    const scale = scaleText(report);
    // A method that takes its weights from the changes asks nobody for one.
    const value = weightless ? 1 : adapter.weight;
    const weight = weightless ? undefined : value === undefined ? "?" : exactly(Math.abs(value));
    const sign = (value ?? 1) < 0 ? "−" : isSum ? "+" : "";
    return { adapter, sign, weight, scale, isModel: report?.type === "task-vector" };
  });
  const spoken = terms.map(({ adapter, sign, weight, scale, isModel }) => {
    const what = isModel ? `the difference of ${adapter.name} to the base` : `${scale ? `scale ${scale}` : "its scale"} times the product B A of ${adapter.name}`;
    return `${sign === "−" ? "minus" : isSum ? "plus" : ""} ${weight === undefined ? "" : `${weight} times `}${what}`.trim();
  });
  const sum = spoken.join(", ") || "plus the adapters’ deltas";
  const label = `Merged weights are the base’s weights ${isSum ? sum : `plus what ${method} makes of ${sum}`}.`;
  return make("div", { class: "formula", role: "img", "aria-label": label, "data-testid": "formula" },
    make("span", { class: "term" }, make("span", { class: "factors" }, make("i", {}, "W′"), " = ", make("i", {}, "W")), make("span", { class: "of" }, "base")),
    ...(terms.length === 0 ? [make("span", { class: "term term-open" }, make("span", { class: "factors" }, "+ …"))] : []),
    ...(isSum || terms.length === 0 ? [] : [make("span", { class: "term" }, make("span", { class: "factors" }, "+ ", make("i", {}, "f"), " ("), make("span", { class: "of" }, method))]),
    ...terms.map(({ adapter, sign, weight, scale, isModel }, number) =>
      make("span", { class: `term tone-${adapter.tone}` },
        make("span", { class: "factors" },
          sign && make("span", { class: "sign" }, sign), sign && " ",
          weight !== undefined && make("b", { title: "weight" }, weight), weight !== undefined && " · ",
          ...(isModel ? ["(", make("i", {}, "M"), " − ", make("i", {}, "W"), ")"] : [scale ? make("span", { title: "scale" }, scale) : make("i", { title: "scale" }, "s"), " · ", make("i", {}, "BA")]),
          !isSum && (number < terms.length - 1 ? " ," : " )"),
        ),
        make("span", { class: "of" }, adapter.name),
      )),
  );
}

function scaleText(planned: AdapterReport | undefined): string | undefined {
  const scales = planned?.scales.map(({ scale }) => scale) ?? [];
  if (scales.length === 0) return undefined;
  const low = digits(Math.min(...scales));
  const high = digits(Math.max(...scales));
  return low === high ? low : `${low}…${high}`;
}
