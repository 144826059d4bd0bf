import { make } from "./dom.js";

/** A text field for any finite number, with a decimal point or comma. Arrow keys change it by `step`. */
export class NumberField {
  readonly element: HTMLInputElement;
  readonly #step: number;
  readonly #onInput: (value: number | undefined, text: string) => void;

  /** `onInput` is given what was typed, and its number where it is one. */
  constructor(step: number, attributes: Record<string, string | number | undefined>, onInput: (value: number | undefined, text: string) => void) {
    // Not type=number: there some browsers read "0,5" as 5.
    this.element = make("input", { type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false", ...attributes });
    this.#step = step;
    this.#onInput = onInput;
    this.element.addEventListener("input", () => this.#changed());
    this.element.addEventListener("keydown", (event) => this.#stepBy(event));
  }

  /** Show a number, as if nobody had typed it. */
  set value(value: number) {
    this.element.value = String(value);
    this.element.setAttribute("aria-invalid", "false");
  }

  #changed(): void {
    const text = this.element.value.trim();
    const value = parseNumber(text);
    this.element.setAttribute("aria-invalid", String(value === undefined));
    this.#onInput(value, text);
  }

  #stepBy(event: KeyboardEvent): void {
    const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const value = parseNumber(this.element.value);
    if (!direction || value === undefined) return;
    event.preventDefault();
    // Without the last digits, which are the error of the sum.
    this.element.value = String(Number((value + direction * this.#step).toFixed(9)));
    this.#changed();
  }
}

/** "0.5", "0,5", "-1e-3" or "−2" as a number; `undefined` where the text is no finite one. */
export function parseNumber(text: string): number | undefined {
  const plain = text.trim().replace("−", "-").replace(",", ".");
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}
