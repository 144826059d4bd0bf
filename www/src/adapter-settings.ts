import type { AdapterOptions } from "lorafold";
import type { Adapter } from "./adapter-list.js";
import { freshId, make } from "./dom.js";
import { NumberField } from "./number-field.js";

/** What is asked of an adapter beside its weight and alpha. */
export type Settings = Pick<AdapterOptions, "residualBase" | "outProj" | "expertPacking" | "adapter">;

/** What few adapters need, folded away. `nameId` is the element that names the adapter: every card has these fields. */
export function adapterSettings(adapter: Adapter, nameId: string, onChange: () => void): HTMLElement {
  const summary = make("summary", { id: freshId("label") }, "Settings");
  summary.setAttribute("aria-labelledby", `${summary.id} ${nameId}`);
  const named = <T extends HTMLElement>(label: string, field: T) => {
    const text = make("span", { class: "field-name", id: freshId("label") }, label);
    field.setAttribute("aria-labelledby", `${text.id} ${nameId}`);
    return make("label", { class: "field" }, text, field);
  };
  const alpha = new NumberField(1, { placeholder: "from adapter_config.json", "data-testid": "adapter-alpha" }, (value, text) => {
    adapter.alpha = text === "" ? "own" : value;
    alpha.element.setAttribute("aria-invalid", String(adapter.alpha === undefined));
    onChange();
  });
  const which = make("input", { type: "text", placeholder: "the only one", autocomplete: "off", spellcheck: "false", "data-testid": "adapter-which" });
  which.addEventListener("change", () => change({ adapter: which.value.trim() || undefined }));
  const residual = make("input", { type: "checkbox", id: freshId("residual"), "data-testid": "adapter-residual" });
  residual.addEventListener("change", () => change({ residualBase: residual.checked || undefined }));
  const choice = (name: "outProj" | "expertPacking", options: [value: string, label: string][]) => {
    const select = make("select", {}, ...options.map(([value, label]) => make("option", { value }, label)));
    // The first is what is taken where nothing is said.
    select.addEventListener("change", () => change({ [name]: select.selectedIndex > 0 ? select.value : undefined } as Changes));
    return select;
  };

  type Changes = { [name in keyof Settings]?: Settings[name] | undefined };
  function change(changes: Changes): void {
    const all: Changes = { ...adapter.settings, ...changes };
    adapter.settings = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Settings;
    onChange();
  }

  return make("details", { class: "more" }, summary,
    make("div", { class: "adapter-settings" },
      named("Use this lora_alpha instead", alpha.element),
      named("Name, where its files hold several", which),
      named("Delta of out_proj in attention", choice("outProj", [["twice", "twice, as PEFT trains"], ["once", "once"]])),
      named("Factors of many experts", choice("expertPacking", [["rank", "for each rank, as PEFT has them"], ["expert", "for each expert, as Unsloth wrote them"]])),
      make("div", { class: "check" }, residual,
        make("label", { for: residual.id }, "The base was saved with this adapter", make("span", { class: "field-help" }, "Of PiSSA, OLoRA, LoftQ and the like, which change the base when training begins."))),
    ),
  );
}
