import type { AdapterOptions } from "lorafold";
import { AboutView, type Moves } from "./about-view.js";
import { AdapterCard } from "./adapter-card.js";
import type { Settings } from "./adapter-settings.js";
import type { Wanted } from "./hub-search.js";
import { METHODS, type Method } from "./methods.js";
import type { Picked } from "./picked.js";
import { SourceInput } from "./source-input.js";
import { announce } from "./status.js";

/** Colours that tell adapters apart; the seventh has the first's again. */
const TONES = 6;

/** An adapter in the list. `undefined` is a field whose content is no number. */
export interface Adapter {
  readonly picked: Picked;
  name: string;
  weight: number | undefined;
  alpha: number | "own" | undefined;
  /** Share of its change that is kept; `all`: as of all adapters. */
  density: number | "all" | undefined;
  settings: Settings;
  /** What is wrong with its settings, in words. */
  wrong?: string | undefined;
  readonly tone: number;
}

/** The chosen adapters, each with its weight. */
export class AdapterList {
  readonly #adapters: Adapter[] = [];
  readonly #list: HTMLElement;
  readonly #input: SourceInput;
  readonly #moves: Moves;
  readonly #views = new WeakMap<Adapter, AboutView>();
  readonly #cards = new WeakMap<Adapter, AdapterCard>();
  #method: Method = METHODS.linear;
  #density: number | undefined;
  readonly #onChange: () => void;
  #offering: { wanted: boolean; chosen: string | undefined } = { wanted: true, chosen: undefined };

  constructor(list: HTMLElement, inputPlace: HTMLElement, moves: Moves, wanted: () => Wanted, onChange: () => void) {
    this.#list = list;
    this.#moves = moves;
    this.#onChange = onChange;
    this.#input = new SourceInput(
      {
        prefix: "adapter",
        invitation: "Drop adapter folders here, as many as you like: each with adapter_config.json and adapter_model.safetensors. A whole fine-tuned model may stand for one: its difference to the base is added.",
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

  /** `asked`: what a link says of it. */
  add(picked: Picked, asked: Partial<Pick<Adapter, "weight" | "alpha" | "density" | "settings">> = {}): void {
    this.complain("");
    const adapter: Adapter = { picked, name: this.#unused(picked.name), weight: 1, alpha: "own", density: "all", settings: {}, ...asked, tone: this.#freeTone() };
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

  /** Ask of every adapter what this method has a use for. `density`: what is kept of those that say nothing. */
  follow(method: Method, density: number | undefined): void {
    [this.#method, this.#density] = [method, density];
    for (const adapter of this.#adapters) this.#cards.get(adapter)?.follow(method, density);
  }

  /** What the API takes, or what is still wrong, in words. A weight that is being typed counts as 1 until it is a number. */
  options(): AdapterOptions[] | string {
    const options: AdapterOptions[] = [];
    for (const { picked, name, weight, alpha, density, settings, wrong } of this.#adapters) {
      if (wrong !== undefined) return `${name}: ${wrong}`;
      if (alpha === undefined) return `The alpha of ${name} must be a number, such as 16 or 0.5.`;
      const own = this.#method.density === undefined ? "all" : density;
      if (own === undefined) return `The share kept of ${name} must be a number, such as 0.5.`;
      const weighed = this.#method.weightless ? {} : { weight: weight ?? 1 };
      const { weights: _, blockWeights: __, ...unweighed } = settings;
      options.push({ ...(this.#method.weightless ? unweighed : settings), source: picked.source, name, ...weighed, ...(alpha !== "own" && { alpha }), ...(own !== "all" && { density: own }) });
    }
    return options.length > 0 ? options : "Add an adapter.";
  }

  /** Which weight is no number, in words. */
  get missingWeight(): string | undefined {
    const adapter = this.#method.weightless ? undefined : this.#adapters.find(({ weight }) => weight === undefined);
    return adapter && `The weight of ${adapter.name} must be a number, such as 0.5.`;
  }

  /** Mark the one that an error is about. */
  blame(name: string | undefined): void {
    for (const [number, card] of [...this.#list.children].entries()) {
      card.classList.toggle("blamed", name !== undefined && this.#adapters[number]?.name === name);
    }
  }

  #card(adapter: Adapter): HTMLElement {
    const view = new AboutView(adapter.picked, "adapter", this.#moves, () => this.offerBase(this.#offering.wanted, this.#offering.chosen));
    this.#views.set(adapter, view);
    const card = new AdapterCard(adapter, view, { rename: (wanted) => this.#unused(wanted), remove: () => this.remove(adapter), changed: () => this.#onChange() });
    card.follow(this.#method, this.#density);
    this.#cards.set(adapter, card);
    return card.element;
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
