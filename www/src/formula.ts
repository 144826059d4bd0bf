import type { AdapterReport } from "lorafold";
import type { Adapter } from "./adapter-list.js";
import { make } from "./dom.js";
import { digits, exactly } from "./format.js";

/** The merge as a formula, which changes as weights do: W′ = W + 1 · 2 · BA − 0.5 · 4 · BA. Scales come with the plan. */
export function formula(adapters: readonly Adapter[], planned: readonly AdapterReport[]): HTMLElement {
  const terms = adapters.map((adapter) => {
    const scale = scaleText(planned.find((report) => report.name === adapter.name));
    const weight = adapter.weight === undefined ? "?" : exactly(Math.abs(adapter.weight));
    const sign = (adapter.weight ?? 1) < 0 ? "−" : "+";
    return { adapter, sign, weight, scale };
  });
  const spoken = terms.map(({ adapter, sign, weight, scale }) =>
    `${sign === "−" ? "minus" : "plus"} ${weight} times ${scale ? `scale ${scale}` : "its scale"} times the product B A of ${adapter.name}`);
  const label = `Merged weights are the base’s weights ${spoken.join(", ") || "plus the adapters’ deltas"}.`;
  return make("div", { class: "formula", role: "img", "aria-label": label, "data-testid": "formula" },
    make("span", { class: "term" }, make("span", { class: "factors" }, make("i", {}, "W′"), " = ", make("i", {}, "W")), make("span", { class: "of" }, "base")),
    ...(terms.length === 0 ? [make("span", { class: "term term-open" }, make("span", { class: "factors" }, "+ …"))] : []),
    ...terms.map(({ adapter, sign, weight, scale }) =>
      make("span", { class: `term tone-${adapter.tone}` },
        make("span", { class: "factors" },
          make("span", { class: "sign" }, sign), " ",
          make("b", { title: "weight" }, weight), " · ",
          scale ? make("span", { title: "scale" }, scale) : make("i", { title: "scale" }, "s"), " · ",
          make("i", {}, "BA"),
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
