import { freshId, make } from "./dom.js";
import { NumberField } from "./number-field.js";

interface Slider {
  label: string;
  /** The id of an element that says of what it is: many fields have the same label. */
  of?: string;
  min: number;
  max: number;
  step: number;
  /** What is written below the slider, from its beginning to its end. */
  ticks: readonly string[];
  /** The id of what explains it. */
  describedBy?: string;
  start: number;
  testId: string;
}

/** A number as a text (any finite one) and as a slider over the usual range, always in step. */
export class SliderField {
  readonly element: HTMLElement;
  readonly #slider: HTMLInputElement;
  readonly #number: NumberField;

  /** `onChange` is given `undefined` for a text that is no number. */
  constructor({ label, of, min, max, step, ticks, describedBy, start, testId }: Slider, onChange: (value: number | undefined, text: string) => void) {
    const name = make("span", { class: "field-name", id: freshId("slider") }, label);
    const labels = { "aria-labelledby": of === undefined ? name.id : `${name.id} ${of}`, "aria-describedby": describedBy };
    this.#slider = make("input", { type: "range", min, max, step, class: "slider-range", ...labels });
    // Arrow keys step as the slider does.
    this.#number = new NumberField(step, { class: "slider-number", "data-testid": testId, value: start, ...labels }, (value, text) => {
      if (value !== undefined) this.#slide(value);
      onChange(value, text);
    });
    this.#slide(start);
    this.#slider.addEventListener("input", () => {
      this.value = this.#slider.valueAsNumber;
      onChange(this.#slider.valueAsNumber, this.#number.element.value);
    });
    this.element = make("div", { class: "slider" }, name, this.#number.element,
      make("div", { class: "slider-track" }, this.#slider, make("span", { class: "slider-ticks", "aria-hidden": "true" }, ...ticks.map((tick) => make("span", {}, tick)))));
  }

  /** Show a number, as if nobody had entered it. */
  set value(value: number) {
    this.#number.value = value;
    this.#slide(value);
  }

  /** The text field. */
  get number(): HTMLInputElement {
    return this.#number.element;
  }

  set disabled(disabled: boolean) {
    this.#number.element.disabled = disabled;
    this.#slider.disabled = disabled;
  }

  #slide(value: number): void {
    this.#slider.valueAsNumber = value;
    // Beyond its ends the slider's own value is not the number.
    this.#slider.setAttribute("aria-valuetext", String(value));
  }
}
