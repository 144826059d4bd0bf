import type { AboutView } from "./about-view.js";
import type { Adapter } from "./adapter-list.js";
import { adapterSettings } from "./adapter-settings.js";
import { button, freshId, make } from "./dom.js";
import { digits } from "./format.js";
import type { Method } from "./methods.js";
import { NumberField } from "./number-field.js";
import { SliderField } from "./slider-field.js";

interface Events {
  /** Gives the name that a wanted one becomes. */
  rename: (wanted: string) => string;
  remove: () => void;
  changed: () => void;
}

/** What is shown of an adapter in the list, and asked of it. */
export class AdapterCard {
  readonly element: HTMLElement;
  readonly #weight: SliderField;
  readonly #weightless = make("p", { class: "hint", hidden: true }, "This method takes its weights from the changes themselves.");
  readonly #density: NumberField;
  readonly #densityPlace: HTMLElement;

  constructor(adapter: Adapter, view: AboutView, { rename, remove, changed }: Events) {
    const name = make("input", {
      type: "text", class: "adapter-name", id: freshId("adapter"), value: adapter.name,
      "data-testid": "adapter-name", autocomplete: "off", spellcheck: "false",
    });
    const label = () => name.setAttribute("aria-label", `Name of the adapter ${adapter.name}`);
    label();
    name.addEventListener("change", () => {
      const wanted = name.value.trim();
      if (wanted !== adapter.name) adapter.name = wanted ? rename(wanted) : adapter.name;
      name.value = adapter.name;
      label();
      changed();
    });
    const drop = button("Remove", {}, remove);
    drop.id = freshId("label");
    // Every card has one: what it is called says of which adapter.
    drop.setAttribute("aria-labelledby", `${drop.id} ${name.id}`);
    const ticks = ["−2", "−1", "0", "1", "2"];
    this.#weight = new SliderField({ label: "Weight", of: name.id, min: -2, max: 2, step: 0.05, ticks, start: adapter.weight ?? 1, testId: "adapter-weight" }, (weight) => {
      adapter.weight = weight;
      changed();
    });
    const densityLabel = make("span", { class: "field-name", id: freshId("density") }, "Share kept of this one");
    this.#density = new NumberField(0.05, {
      "data-testid": "adapter-density", "aria-labelledby": `${densityLabel.id} ${name.id}`, value: typeof adapter.density === "number" ? adapter.density : undefined,
    }, (value, text) => {
      adapter.density = text === "" ? "all" : value;
      this.#density.element.setAttribute("aria-invalid", String(adapter.density === undefined));
      changed();
    });
    this.#densityPlace = make("label", { class: "adapter-density", hidden: true }, densityLabel, this.#density.element);
    this.element = make("li", { class: `adapter tone-${adapter.tone}`, "data-testid": "adapter" },
      make("div", { class: "adapter-head" }, make("div", { class: "chosen-text" }, name, make("p", { class: "chosen-detail" }, adapter.picked.detail), view.element), drop),
      this.#weight.element, this.#weightless, this.#densityPlace,
      adapterSettings(adapter, name.id, changed),
    );
  }

  /** Show what this method has a use for. */
  follow(method: Method, density: number | undefined): void {
    this.#weight.disabled = method.weightless ?? false;
    this.#weightless.hidden = !method.weightless;
    this.#densityPlace.hidden = method.density === undefined;
    this.#density.element.placeholder = density === undefined ? "as all" : `${digits(density)}, as all`;
  }
}
