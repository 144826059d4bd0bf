import { type FoundModel, LorafoldError, searchModels } from "lorafold/hub";
import { freshId, make } from "./dom.js";
import { counted } from "./format.js";
import { hubOptions } from "./hub-access.js";
import { announce } from "./status.js";

/** How long typing must rest. */
const REST = 250;
/** Shown at once, and fewer of those that are only similar. */
const MOST = 8;

/** What a search may be about besides words. */
export interface Wanted {
  /** The base whose adapters are wanted, where there is one: they come first, and before anything is typed. */
  adaptersOf?: string | undefined;
}

/** Searches the hub's models while one types into a field, and lists what it finds below: a combobox, as the ARIA practices have it. */
export class HubSearch {
  readonly list = make("ul", { class: "hub-found", role: "listbox", id: freshId("found"), hidden: true, "data-testid": "hub-found" });
  readonly #field: HTMLInputElement;
  readonly #wanted: () => Wanted;
  readonly #onPick: (name: string) => void;
  #timer: number | undefined;
  #running: AbortController | undefined;
  #active = -1;

  constructor(field: HTMLInputElement, label: string, wanted: () => Wanted, onPick: (name: string) => void) {
    this.#field = field;
    this.#wanted = wanted;
    this.#onPick = onPick;
    this.list.setAttribute("aria-label", label);
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.list.id })) field.setAttribute(name, value);
    field.addEventListener("input", () => this.#ask());
    field.addEventListener("focus", () => this.#ask());
    field.addEventListener("blur", () => this.close());
    field.addEventListener("keydown", (event) => this.#key(event));
    // The field keeps the focus, or what is clicked would be gone.
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
  }

  /** Take the list away, and end what is under way. */
  close(): void {
    window.clearTimeout(this.#timer);
    this.#running?.abort();
    this.#show([]);
  }

  #ask(): void {
    window.clearTimeout(this.#timer);
    this.#running?.abort();
    const query = this.#field.value.trim();
    const { adaptersOf } = this.#wanted();
    // Addresses and paths are for nobody's search.
    if (/:\/\/|^[.~/\\]|[@?#\\]/.test(query) || (query.length < 2 && !(query === "" && adaptersOf))) return this.#show([]);
    const { signal } = (this.#running = new AbortController());
    this.#timer = window.setTimeout(() => void this.#search(query, adaptersOf, signal), query === "" ? 0 : REST);
  }

  async #search(query: string, adaptersOf: string | undefined, signal: AbortSignal): Promise<void> {
    const ask = (of?: string) => searchModels({ query, limit: MOST, hub: hubOptions(), signal, ...(of !== undefined && { adaptersOf: of }) });
    try {
      const [theirs, others] = await Promise.all([adaptersOf === undefined ? [] : ask(adaptersOf), query === "" ? [] : ask()]);
      if (signal.aborted) return;
      const names = new Set(theirs.map(({ name }) => name));
      const found = [...theirs, ...others.filter(({ name }) => !names.has(name))].slice(0, MOST);
      this.#show(found.map((model) => this.#option(model, names.has(model.name) ? adaptersOf : undefined)));
      announce(found.length === 0 ? "The hub has no such model" : `${counted(found.length, "model")} of the hub`);
    } catch (error) {
      if (signal.aborted) return;
      const why = error instanceof LorafoldError && error.facts.kind === "rate-limited" ? "it is asked too often: wait a little" : "give an address, or try again later";
      this.#show([make("li", { class: "hub-silent", role: "option", "aria-disabled": "true" }, `The hub’s search does not answer; ${why}.`)]);
    }
  }

  #option({ name, downloads, gated, private: hidden, task, library }: FoundModel, of: string | undefined): HTMLElement {
    const about = [of === undefined ? library : `for ${of}`, task, `${compact.format(downloads)} downloads`, gated && "gated", hidden && "private"].filter(Boolean).join(" · ");
    const option = make("li", { class: "hub-model", role: "option", id: freshId("model"), "aria-selected": "false", "data-name": name },
      make("span", { class: "hub-name" }, name), make("span", { class: "hint" }, about));
    option.addEventListener("click", () => this.#pick(option));
    return option;
  }

  #pick(option: HTMLElement): void {
    this.close();
    this.#field.value = "";
    this.#onPick(option.dataset["name"]!);
  }

  #key(event: KeyboardEvent): void {
    if (this.list.hidden) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const options = this.#options();
    if (step && options.length > 0) {
      this.#active = (this.#active + step + (this.#active < 0 && step < 0 ? 1 : 0) + options.length) % options.length;
      this.#mark();
    } else if (event.key === "Enter" && options[this.#active]) {
      this.#pick(options[this.#active]!);
    } else if (event.key === "Escape") {
      this.close();
    } else {
      return;
    }
    event.preventDefault();
  }

  #options(): HTMLElement[] {
    return [...this.list.querySelectorAll<HTMLElement>("[data-name]")];
  }

  #mark(): void {
    for (const [number, option] of this.#options().entries()) {
      option.setAttribute("aria-selected", String(number === this.#active));
      if (number !== this.#active) continue;
      this.#field.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    }
  }

  #show(options: HTMLElement[]): void {
    this.#active = -1;
    this.#field.removeAttribute("aria-activedescendant");
    this.list.replaceChildren(...options);
    this.list.hidden = options.length === 0;
    this.#field.setAttribute("aria-expanded", String(options.length > 0));
  }
}

const compact = new Intl.NumberFormat("en", { notation: "compact" });
