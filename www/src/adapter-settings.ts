import type { AdapterOptions } from "lorafold";
import type { Adapter } from "./adapter-list.js";
import { freshId, make } from "./dom.js";
import { moduleWeightLine, parseModuleWeights } from "./module-weights.js";
import { NumberField } from "./number-field.js";

/** What is asked of an adapter beside its weight, alpha and density. */
export type Settings = Pick<AdapterOptions, "residualBase" | "outProj" | "expertPacking" | "adapter" | "weights" | "blockWeights" | "only" | "skip">;

type Changes = { [name in keyof Settings]?: Settings[name] | undefined };

/** What few adapters need, folded away. `nameId` is the element that names the adapter: every card has these fields. */
export function adapterSettings(adapter: Adapter, nameId: string, onChange: () => void): HTMLElement {
  const { settings } = adapter;
  const summary = make("summary", { id: freshId("label") }, "Settings");
  summary.setAttribute("aria-labelledby", `${summary.id} ${nameId}`);
  const named = <T extends HTMLElement>(label: string, field: T, help?: string) => {
    const text = make("span", { class: "field-name", id: freshId("label") }, label);
    field.setAttribute("aria-labelledby", `${text.id} ${nameId}`);
    const helped = help !== undefined && make("span", { class: "field-help", id: freshId("help") }, help);
    if (helped) field.setAttribute("aria-describedby", helped.id);
    return make("label", { class: "field" }, text, field, helped);
  };
  const alpha = new NumberField(1, { placeholder: "from adapter_config.json", "data-testid": "adapter-alpha", value: typeof adapter.alpha === "number" ? adapter.alpha : undefined }, (value, text) => {
    adapter.alpha = text === "" ? "own" : value;
    alpha.element.setAttribute("aria-invalid", String(adapter.alpha === undefined));
    onChange();
  });
  const words = { autocomplete: "off", spellcheck: "false", autocapitalize: "off" };
  const which = make("input", { type: "text", placeholder: "the only one", ...words, "data-testid": "adapter-which", value: settings.adapter });
  which.addEventListener("change", () => change({ adapter: which.value.trim() || undefined }));
  const residual = make("input", { type: "checkbox", id: freshId("residual"), "data-testid": "adapter-residual", checked: settings.residualBase });
  residual.addEventListener("change", () => change({ residualBase: residual.checked || undefined }));
  const choice = (name: "outProj" | "expertPacking", options: [value: string, label: string][]) => {
    const select = make("select", {}, ...options.map(([value, label]) => make("option", { value, selected: settings[name] === value }, label)));
    // The first is what is taken where nothing is said.
    select.addEventListener("change", () => change({ [name]: select.selectedIndex > 0 ? select.value : undefined } as Changes));
    return select;
  };
  const pattern = (name: "only" | "skip", placeholder: string) => {
    const field = make("input", { type: "text", class: "code", placeholder, ...words, "data-testid": `adapter-${name}`, value: [settings[name] ?? []].flat().join("|") });
    field.addEventListener("change", () => change({ [name]: field.value.trim() ? [field.value.trim()] : undefined }));
    return field;
  };
  const weights = make("textarea", { class: "code", rows: 3, placeholder: "mlp=0.5\nlayers:0-7=0", ...words, "data-testid": "adapter-weights" }, (settings.weights ?? []).map(moduleWeightLine).join("\n"));
  weights.addEventListener("change", () => {
    const read = parseModuleWeights(weights.value);
    const wrong = "wrong" in read ? `“${read.wrong}” is no weight by module: write mlp=0.5, layers:0-7=0 or blocks:MID=0.5, one to a line.` : undefined;
    adapter.wrong = wrong;
    weights.setAttribute("aria-invalid", String(wrong !== undefined));
    change({ weights: "wrong" in read || read.length === 0 ? undefined : read });
  });
  const blocks = make("input", { type: "text", class: "code", placeholder: "1,0,0.5,… or MIDD", ...words, "data-testid": "adapter-block-weights", value: settings.blockWeights });
  blocks.addEventListener("change", () => change({ blockWeights: blocks.value.trim() || undefined }));

  function change(changes: Changes): void {
    const all: Changes = { ...adapter.settings, ...changes };
    adapter.settings = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Settings;
    onChange();
  }

  return make("details", { class: "more" }, summary,
    make("div", { class: "form-grid" },
      named("Use this lora_alpha instead", alpha.element),
      named("Which adapter, if its files hold several", which),
      named("Weights by module", weights, "Factors beside the weight, one to a line, for tensors whose name matches, for layers, or for blocks of an image model. Of several that match the last counts; 0 leaves out."),
      named("Weights of an image model’s blocks", blocks, "17 or 26 numbers of Stable Diffusion 1.5, 12 or 20 of SDXL, 58 or 61 of Flux, or the name of a list, such as MIDD or FLUX-DBL-ALL."),
      named("Only its tensors that match", pattern("only", "q_proj|v_proj"), "A regular expression; its change is left out elsewhere."),
      named("Not its tensors that match", pattern("skip", "layers\\.0\\."), "A regular expression; its change is left out there."),
      named("Delta of out_proj in attention", choice("outProj", [["twice", "twice, as PEFT trains"], ["once", "once"]])),
      named("Factors of many experts", choice("expertPacking", [["rank", "for each rank, as PEFT has them"], ["expert", "for each expert, as Unsloth wrote them"]])),
      make("div", { class: "check" }, residual,
        make("label", { for: residual.id }, "The base was saved with this adapter", make("span", { class: "field-help" }, "Of PiSSA, OLoRA, LoftQ and the like, which change the base when training begins."))),
    ),
  );
}
