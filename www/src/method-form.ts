import { freshId, make } from "./dom.js";
import type { MethodChoice, MethodText } from "./method-choice.js";
import { GROUPS, METHODS, type MethodName, type MethodOption } from "./methods.js";
import { NumberField } from "./number-field.js";
import { SliderField } from "./slider-field.js";

/** The seed, which is asked for among the options, too. */
export interface Seed {
  readonly text: string;
  set(text: string): void;
}

/** Where one says how several adapters become one: the method, what it does, and the options that it has. */
export class MethodForm {
  readonly element: HTMLElement;
  readonly #choice: MethodChoice;
  readonly #select: HTMLSelectElement;
  readonly #says = make("p", { class: "field-help", id: freshId("method"), "data-testid": "method-says" });
  readonly #fields: { [option in MethodOption]: Field };

  constructor(choice: MethodChoice, seed: Seed) {
    this.#choice = choice;
    this.#select = make("select", { "data-testid": "method", "aria-describedby": this.#says.id }, ...GROUPS.map(({ label, names }) =>
      make("optgroup", { label }, ...names.map((name) => make("option", { value: name }, METHODS[name].label)))));
    this.#select.addEventListener("change", () => choice.pick(this.#select.value as MethodName));
    this.#fields = {
      density: this.#share(),
      gamma: this.#number("gamma", "Share of outliers dropped", "0.01", 0.01, "The share of the very largest values, which are dropped, too."),
      epsilon: this.#number("epsilon", "Spread of the chances (epsilon)", "0.15", 0.05, "In each row, the smallest value is kept with a chance this much below the share, the largest this much above it."),
      seed: seedField(seed),
      majoritySign: this.#pick("majoritySign", "Signs are elected", [["", "by the sum of the values"], ["frequency", "by how many are plus or minus"]], "Where adapters disagree whether a value grows or shrinks; what is on the other side is left out there."),
      normalize: this.#pick("normalize", "The sum is divided", [["", "as the method does it"], ["yes", "yes"], ["no", "no"]], "By how many adapters agree on the sign, or, where no signs are elected, by the sum of the weights."),
      flavor: this.#pick("flavor", "Variant of the method (flavor)", [["", "PEFT"], ["mergekit", "mergekit"]], "Both programs have this method, with small differences: take the one whose results you know."),
    };
    this.element = make("div", { class: "method", role: "group", "aria-labelledby": "method-heading" },
      make("h3", { id: "method-heading" }, "How they become one"),
      make("label", { class: "field" }, make("span", { class: "field-name" }, "Method"), this.#select), this.#says,
      make("div", { class: "form-grid" }, ...Object.values(this.#fields).map(({ element }) => element)));
    this.show();
  }

  /** Show what is chosen, and what the method has. */
  show(): void {
    const { name, method, wrong } = this.#choice;
    this.#select.value = name;
    this.#says.textContent = method.says;
    for (const [option, field] of Object.entries(this.#fields)) {
      field.element.hidden = !method.options.includes(option as MethodOption);
      field.show?.(wrong?.field === option);
    }
  }

  /** Mark the field that an error is about, and the id of what says so. */
  blame(name: string | undefined, saidBy: string): void {
    const { wrong } = this.#choice;
    for (const [option, { input }] of Object.entries(this.#fields)) mark(input, option === name, option === wrong?.field, saidBy);
    mark(this.#select, name === "method", false, saidBy);
  }

  /** The share that is kept: a number and a slider, which begin at what is usual for the method. */
  #share(): Field {
    const help = make("span", { class: "field-help", id: freshId("help") });
    const slider = new SliderField({ label: "Share kept", min: 0.05, max: 1, step: 0.05, ticks: ["0.05", "0.5", "1"], describedBy: help.id, start: 1, testId: "method-density" }, (_, text) => this.#choice.set("density", text));
    const element = make("div", { class: "field wide" }, slider.element, help);
    const show = () => {
      const { method, density, wrong } = this.#choice;
      help.textContent = method.density === undefined
        ? "Of the values in which the adapters differ at all: those that differ most. Above 0, up to 1."
        : "Of the values of each adapter’s change, above 0 and up to 1; an adapter may have a share of its own.";
      // What is being typed stays as it is, also where nothing is left of it, or no number.
      if (document.activeElement !== slider.number && wrong?.field !== "density") slider.value = density ?? 1;
    };
    slider.number.addEventListener("blur", show);
    return { element, input: slider.number, show };
  }

  #number(option: MethodText, label: string, placeholder: string, step: number, says: string): Field {
    const field = new NumberField(step, { placeholder, "data-testid": `method-${option}` }, (_, text) => this.#choice.set(option, text));
    const show = (wrong: boolean) => {
      if (document.activeElement !== field.element) field.element.value = this.#choice.text(option);
      field.element.setAttribute("aria-invalid", String(wrong));
    };
    return { element: labelled(label, field.element, says), input: field.element, show };
  }

  #pick(option: MethodText, label: string, values: [value: string, label: string][], says: string): Field {
    const select = make("select", { "data-testid": `method-${option}` }, ...values.map(([value, text]) => make("option", { value }, text)));
    select.addEventListener("change", () => this.#choice.set(option, select.value));
    return { element: labelled(label, select, says), input: select, show: () => (select.value = this.#choice.text(option)) };
  }
}

interface Field {
  element: HTMLElement;
  input: HTMLElement;
  /** Show what is chosen; `wrong`: what was typed is no number. */
  show?: (wrong: boolean) => void;
}

function seedField(seed: Seed): Field {
  const input = make("input", { type: "text", inputmode: "numeric", autocomplete: "off", spellcheck: "false", placeholder: "0", "data-testid": "method-seed" });
  input.addEventListener("input", () => seed.set(input.value));
  const show = () => {
    if (document.activeElement !== input) input.value = seed.text;
  };
  return { element: labelled("Seed", input, "A whole number that decides which random values are kept: the same gives the same bytes everywhere."), input, show };
}

function labelled(label: string, field: HTMLElement, says: string): HTMLElement {
  const help = make("span", { class: "field-help", id: freshId("help") }, says);
  field.setAttribute("aria-describedby", help.id);
  return make("label", { class: "field" }, make("span", { class: "field-name" }, label), field, help);
}

/** `blamed`: something else says that it is wrong; `unread`: it is no number. */
function mark(field: HTMLElement, blamed: boolean, unread: boolean, saidBy: string): void {
  const others = (field.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id && id !== saidBy);
  field.setAttribute("aria-describedby", [...others, ...(blamed ? [saidBy] : [])].join(" "));
  field.setAttribute("aria-invalid", String(blamed || unread));
}
