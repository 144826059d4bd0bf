import { AboutView, type Moves } from "./about-view.js";
import { button, make } from "./dom.js";
import type { Picked } from "./picked.js";
import { SourceInput } from "./source-input.js";
import { announce } from "./status.js";

/** Which model is chosen, and what the page says of that. */
interface Wording {
  /** Begins the test ids. */
  prefix: "base" | "merged";
  /** What the model is called within a sentence. */
  called: string;
  invitation: string;
}

/** Shows a chosen model, or the ways to choose one. */
export class ModelPicker {
  #picked: Picked | undefined;
  #view: AboutView | undefined;
  readonly #place: HTMLElement;
  readonly #wording: Wording;
  readonly #input: SourceInput;
  readonly #moves: Moves;
  readonly #isAlone: () => boolean;
  readonly #onChange: () => void;

  /** `isAlone`: whether nothing else tells of what is elsewhere, such as a plan. */
  constructor(place: HTMLElement, wording: Wording, moves: Moves, isAlone: () => boolean, onChange: () => void) {
    this.#place = place;
    this.#wording = wording;
    this.#moves = moves;
    this.#isAlone = isAlone;
    this.#onChange = onChange;
    this.#input = new SourceInput(
      {
        prefix: wording.prefix,
        called: wording.called,
        invitation: wording.invitation,
        add: "Use",
        address: "Type a name to search the hub, or give an address: organisation/model of the hub, or https://… of the model’s folder or file.",
        wanted: () => ({}),
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
    if (picked) announce(`Chosen as the ${this.#wording.called}: ${picked.name}`);
    this.#onChange();
  }

  /** Another token may let more be read. */
  describeAgain(): void {
    this.#view?.again();
  }

  #show(): void {
    const picked = this.#picked;
    const { prefix, called } = this.#wording;
    if (!picked) {
      this.#input.element.append(this.#input.complaint);
      this.#place.replaceChildren(this.#input.element);
      return;
    }
    const change = button("Choose another", { "aria-label": `Choose another ${called} than ${picked.name}` }, () => {
      this.set(undefined);
    });
    // What lies elsewhere is asked for once, where a plan is being made of it.
    const isDescribed = typeof picked.source !== "string" || this.#isAlone();
    this.#view = isDescribed ? new AboutView(picked, "base", this.#moves, () => undefined) : undefined;
    this.#place.replaceChildren(
      make("div", { class: "chosen", "data-testid": `${prefix}-chosen` },
        make("div", { class: "chosen-text" },
          make("p", { class: "chosen-name" }, picked.name),
          make("p", { class: "chosen-detail" }, picked.detail),
          this.#view?.element,
        ),
        change,
      ),
      this.#input.complaint,
    );
  }
}
