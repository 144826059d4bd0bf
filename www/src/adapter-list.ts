import type { AdapterOptions } from "lorafold";
import { AboutView, type Moves } from "./about-view.js";
import { adapterSettings, type Settings } from "./adapter-settings.js";
import { button, freshId, make } from "./dom.js";
import type { Wanted } from "./hub-search.js";
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
  settings: Settings;
  readonly tone: number;
}

/** The chosen adapters, each with its weight. */
export class AdapterList {
  readonly #adapters: Adapter[] = [];
  readonly #list: HTMLElement;
  readonly #input: SourceInput;
  readonly #moves: Moves;
  readonly #views = new WeakMap<Adapter, AboutView>();
  readonly #onChange: () => void;
  #offering: { wanted: boolean; chosen: string | undefined } = { wanted: true, chosen: undefined };

  constructor(list: HTMLElement, inputPlace: HTMLElement, moves: Moves, wanted: () => Wanted, onChange: () => void) {
    this.#list = list;
    this.#moves = moves;
    this.#onChange = onChange;
    this.#input = new SourceInput(
      {
        prefix: "adapter",
        invitation: "Drop adapter folders here, as many as you like: each with adapter_config.json and adapter_model.safetensors.",
        add: "Add",
        address: "Type a name to search the hub, or give an address: organisation/adapter of the hub, or https://… of the adapter’s folder.",
        wanted,
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
    const adapter: Adapter = { picked, name: this.#unused(picked.name), weight, alpha: "own", settings: {}, tone: this.#freeTone() };
    this.#adapters.push(adapter);
    this.#list.append(this.#card(adapter));
    announce(`Adapter ${adapter.name} added`);
    this.#onChange();
  }

  /** Offer the bases that adapters name, but for the one that is chosen. */
  offerBase(wanted: boolean, chosen: string | undefined): void {
    this.#offering = { wanted, chosen };
    for (const adapter of this.#adapters) this.#views.get(adapter)?.offerBase(wanted, chosen);
  }

  /** Another token may let more be read. */
  describeAgain(): void {
    for (const adapter of this.#adapters) this.#views.get(adapter)?.again();
  }

  clear(): void {
    this.#adapters.length = 0;
    this.#list.replaceChildren();
    this.#onChange();
  }

  /** What the API takes, or what is still wrong, in words. A weight that is being typed counts as 1 until it is a number. */
  options(): AdapterOptions[] | string {
    const options: AdapterOptions[] = [];
    for (const { picked, name, weight, alpha, settings } of this.#adapters) {
      if (alpha === undefined) return `The alpha of ${name} is no number such as 16 or 0.5.`;
      options.push({ ...settings, source: picked.source, name, weight: weight ?? 1, ...(alpha !== "own" && { alpha }) });
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
    const remove = button("Remove", {}, () => this.remove(adapter));
    remove.id = freshId("label");
    // Every card has one: what it is called says of which adapter.
    remove.setAttribute("aria-labelledby", `${remove.id} ${name.id}`);
    const view = new AboutView(adapter.picked, "adapter", this.#moves, () => this.offerBase(this.#offering.wanted, this.#offering.chosen));
    this.#views.set(adapter, view);
    const card = make("li", { class: `adapter tone-${adapter.tone}`, "data-testid": "adapter" },
      make("div", { class: "adapter-head" }, make("div", { class: "chosen-text" }, name, make("p", { class: "chosen-detail" }, adapter.picked.detail), view.element), remove),
      weightControl(name.id, adapter.weight ?? 1, (weight) => {
        adapter.weight = weight;
        changed();
      }),
      adapterSettings(adapter, name.id, changed),
    );
    return card;
  }

  /** Take an adapter out of the list. */
  remove(adapter: Adapter): void {
    const number = this.#adapters.indexOf(adapter);
    const card = this.#list.children[number];
    const next = card?.nextElementSibling ?? card?.previousElementSibling;
    this.#adapters.splice(number, 1);
    card?.remove();
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
