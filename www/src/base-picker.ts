import { button, make } from "./dom.js";
import type { Picked } from "./picked.js";
import { SourceInput } from "./source-input.js";
import { announce } from "./status.js";

/** Shows the chosen base, or the ways to choose one. */
export class BasePicker {
  #picked: Picked | undefined;
  readonly #place: HTMLElement;
  readonly #input: SourceInput;
  readonly #onChange: () => void;

  constructor(place: HTMLElement, onChange: () => void) {
    this.#place = place;
    this.#onChange = onChange;
    this.#input = new SourceInput(
      {
        prefix: "base",
        invitation: "Drop the model’s folder here: its .safetensors file or files, with config.json and the rest beside them.",
        add: "Use",
        address: "An address is hf://organisation/model, or https://… of the model’s folder or file.",
      },
      (picked) => this.set(picked),
    );
    this.#show();
  }

  get picked(): Picked | undefined {
    return this.#picked;
  }

  /** Say why something was not taken. */
  complain(text: string): void {
    this.#input.complain(text);
  }

  set(picked: Picked | undefined): void {
    this.#picked = picked;
    this.#input.clear();
    const focused = this.#place.contains(document.activeElement);
    this.#show();
    // What had the focus is gone: it goes where one would go on.
    if (focused) this.#place.querySelector<HTMLElement>("button, input")?.focus();
    if (picked) announce(`Base: ${picked.name}`);
    this.#onChange();
  }

  #show(): void {
    const picked = this.#picked;
    if (!picked) {
      this.#input.element.append(this.#input.complaint);
      this.#place.replaceChildren(this.#input.element);
      return;
    }
    const change = button("Change", { "aria-label": `Choose another base than ${picked.name}` }, () => {
      this.set(undefined);
    });
    this.#place.replaceChildren(
      make("div", { class: "chosen", "data-testid": "base-chosen" },
        make("div", { class: "chosen-text" },
          make("p", { class: "chosen-name" }, picked.name),
          make("p", { class: "chosen-detail" }, picked.detail),
        ),
        change,
      ),
      this.#input.complaint,
    );
  }
}
