import type { AdapterOptions } from "lorafold";
import { button, freshId, make } from "./dom.js";
import { NumberField } from "./number-field.js";
import type { Picked } from "./picked.js";
import { SourceInput } from "./source-input.js";
import { announce } from "./status.js";
import { weightControl } from "./weight-control.js";

/** Colours that tell adapters apart; the seventh has the first's again. */
const TONES = 6;

/** An adapter in the list. `undefined` is a field whose content is no number. */
export interface Adapter {
  readonly picked: Picked;
  name: string;
  weight: number | undefined;
  alpha: number | "own" | undefined;
  readonly tone: number;
}

/** The chosen adapters, each with its weight. */
export class AdapterList {
  readonly #adapters: Adapter[] = [];
  readonly #list: HTMLElement;
  readonly #input: SourceInput;
  readonly #onChange: () => void;

  constructor(list: HTMLElement, inputPlace: HTMLElement, onChange: () => void) {
    this.#list = list;
    this.#onChange = onChange;
    this.#input = new SourceInput(
      {
        prefix: "adapter",
        invitation: "Drop adapter folders here, as many as you like: each with adapter_config.json and adapter_model.safetensors.",
        add: "Add",
        address: "An address is hf://organisation/adapter, or https://… of the adapter’s folder.",
      },
      (picked) => this.add(picked),
    );
    inputPlace.replaceChildren(this.#input.element);
  }

  get adapters(): readonly Adapter[] {
    return this.#adapters;
  }

  /** Say why nothing was added. */
  complain(text: string): void {
    this.#input.complain(text);
  }

  add(picked: Picked, weight = 1): void {
    this.complain("");
    const adapter: Adapter = { picked, name: this.#unused(picked.name), weight, alpha: "own", tone: this.#freeTone() };
    this.#adapters.push(adapter);
    this.#list.append(this.#card(adapter));
    announce(`Adapter ${adapter.name} added`);
    this.#onChange();
  }

  clear(): void {
    this.#adapters.length = 0;
    this.#list.replaceChildren();
    this.#onChange();
  }

  /** What the API takes, or what is still wrong, in words. A weight that is being typed counts as 1 until it is a number. */
  options(): AdapterOptions[] | string {
    const options: AdapterOptions[] = [];
    for (const { picked, name, weight, alpha } of this.#adapters) {
      if (alpha === undefined) return `The alpha of ${name} is no number such as 16 or 0.5.`;
      options.push({ source: picked.source, name, weight: weight ?? 1, ...(alpha !== "own" && { alpha }) });
    }
    return options.length > 0 ? options : "Add an adapter.";
  }

  /** Which weight is no number, in words. */
  get missingWeight(): string | undefined {
    const adapter = this.#adapters.find(({ weight }) => weight === undefined);
    return adapter && `The weight of ${adapter.name} is no number such as 0.5.`;
  }

  /** Mark the one that an error is about. */
  blame(name: string | undefined): void {
    for (const [number, card] of [...this.#list.children].entries()) {
      card.classList.toggle("blamed", name !== undefined && this.#adapters[number]?.name === name);
    }
  }

  #card(adapter: Adapter): HTMLElement {
    const changed = () => this.#onChange();
    const name = make("input", {
      type: "text", class: "adapter-name", id: freshId("adapter"), value: adapter.name,
      "data-testid": "adapter-name", autocomplete: "off", spellcheck: "false",
    });
    const label = () => name.setAttribute("aria-label", `Name of the adapter ${adapter.name}`);
    label();
    name.addEventListener("change", () => {
      const wanted = name.value.trim();
      if (wanted !== adapter.name) adapter.name = wanted ? this.#unused(wanted) : adapter.name;
      name.value = adapter.name;
      label();
      changed();
    });
    const alpha = new NumberField(1, { placeholder: "from adapter_config.json", "data-testid": "adapter-alpha" }, (value, text) => {
      adapter.alpha = text === "" ? "own" : value;
      alpha.element.setAttribute("aria-invalid", String(adapter.alpha === undefined));
      changed();
    });
    const alphaName = make("span", { class: "field-name" }, "Use this lora_alpha instead");
    const disclosure = make("summary", {}, "Alpha");
    const remove = button("Remove", {}, () => this.#remove(adapter, card));
    // Every card has these: what they are called says of which adapter.
    for (const [element, text] of [[remove, remove], [disclosure, disclosure], [alpha.element, alphaName]] as const) {
      text.id = freshId("label");
      element.setAttribute("aria-labelledby", `${text.id} ${name.id}`);
    }
    const card = make("li", { class: `adapter tone-${adapter.tone}`, "data-testid": "adapter" },
      make("div", { class: "adapter-head" }, make("div", { class: "chosen-text" }, name, make("p", { class: "chosen-detail" }, adapter.picked.detail)), remove),
      weightControl(name.id, adapter.weight ?? 1, (weight) => {
        adapter.weight = weight;
        changed();
      }),
      make("details", { class: "more" },
        disclosure,
        make("label", { class: "field" }, alphaName, alpha.element),
      ),
    );
    return card;
  }

  #remove(adapter: Adapter, card: HTMLElement): void {
    const next = card.nextElementSibling ?? card.previousElementSibling;
    this.#adapters.splice(this.#adapters.indexOf(adapter), 1);
    card.remove();
    // The focus goes where one would go on.
    (next?.querySelector("button") ?? this.#input.element.querySelector("input"))?.focus();
    announce(`Adapter ${adapter.name} removed`);
    this.#onChange();
  }

  /** Errors and reports tell adapters apart by name. */
  #unused(name: string): string {
    const taken = new Set(this.#adapters.map((adapter) => adapter.name));
    let candidate = name;
    for (let number = 2; taken.has(candidate); number++) candidate = `${name} (${number})`;
    return candidate;
  }

  #freeTone(): number {
    const used = new Set(this.#adapters.map((adapter) => adapter.tone));
    for (let tone = 0; tone < TONES; tone++) if (!used.has(tone)) return tone;
    return this.#adapters.length % TONES;
  }
}
