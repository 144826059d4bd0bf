import type { MergeOptions } from "lorafold";
import { parseBytes } from "./format.js";

/** The part of the API's options that the form holds. */
export type FormOptions = Pick<MergeOptions, "dtype" | "vocabulary" | "only" | "skip" | "maxShardSize" | "rounding" | "seed" | "tokenizer" | "tied" | "allowUnmatched" | "allowUnmerged" | "allowNonfinite"> & { statistics: boolean };

type Switch = "statistics" | "allowUnmatched" | "allowUnmerged" | "allowNonfinite";

/** The "Options" section. */
export class OptionsForm {
  readonly #form: HTMLFormElement;
  readonly #note: HTMLElement;
  readonly #onChange: () => void;

  constructor(form: HTMLFormElement, note: HTMLElement, onChange: () => void) {
    this.#form = form;
    this.#note = note;
    this.#onChange = onChange;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => this.#changed());
  }

  /** What the API takes, or what is wrong, in words. */
  options(): FormOptions | string {
    const options: FormOptions = { statistics: this.isTicked("statistics") };
    const dtype = this.#text("dtype") as NonNullable<FormOptions["dtype"]>;
    if (dtype !== "keep") options.dtype = dtype;
    const rounding = this.#text("rounding") as NonNullable<FormOptions["rounding"]>;
    if (rounding !== "nearest") options.rounding = rounding;
    const seed = this.#text("seed");
    if (seed) {
      if (!/^\d+$/.test(seed) || !Number.isSafeInteger(Number(seed))) return "The seed must be a whole number, such as 42.";
      options.seed = Number(seed);
    }
    const tokenizer = this.#text("tokenizer") as NonNullable<FormOptions["tokenizer"]>;
    if (tokenizer !== "auto") options.tokenizer = tokenizer;
    const tied = this.#text("tied") as NonNullable<FormOptions["tied"]>;
    if (tied !== "auto") options.tied = tied;
    const vocabulary = this.#text("vocabulary") as NonNullable<FormOptions["vocabulary"]>;
    if (vocabulary !== "exact") options.vocabulary = vocabulary;
    for (const name of ["only", "skip"] as const) if (this.#text(name)) options[name] = this.#text(name);
    const size = this.#text("maxShardSize");
    if (size) {
      const limit = parseBytes(size);
      if (limit === undefined) return "The largest file must be a size, such as 5GB or 500MB.";
      options.maxShardSize = limit;
    }
    for (const name of ["allowUnmatched", "allowUnmerged", "allowNonfinite"] as const) if (this.isTicked(name)) options[name] = true;
    return options;
  }

  /** Mark the field that an error is about. */
  blame(field: string | undefined): void {
    for (const name of ["only", "skip"]) this.#mark(name, name === field, "plan-error");
  }

  isTicked(name: Switch): boolean {
    return this.#box(name).checked;
  }

  /** Tick a box, as an error's advice offers. */
  tick(name: Switch): void {
    this.#box(name).checked = true;
    this.#changed();
  }

  /** What is typed as the seed. */
  get seed(): string {
    return this.#text("seed");
  }

  set seed(text: string) {
    this.#field("seed").value = text;
    this.#changed();
  }

  /** What a link calls the options. */
  get names(): string[] {
    return this.#fields().map(({ name }) => name);
  }

  /** As the parameters of a link: what is not as it was at first. */
  parameters(): [string, string][] {
    const changed: [string, string][] = [];
    for (const field of this.#fields()) {
      const text = field instanceof HTMLInputElement && field.type === "checkbox" ? (field.checked ? "yes" : "no") : field.value.trim();
      if (text !== initial(field)) changed.push([field.name, text]);
    }
    return changed;
  }

  /** Take what a link says. */
  follow(parameters: URLSearchParams): void {
    for (const field of this.#fields()) {
      const text = parameters.get(field.name);
      if (text === null) continue;
      if (field instanceof HTMLInputElement && field.type === "checkbox") field.checked = text === "yes";
      // A value that a list does not have would empty it.
      else if (!(field instanceof HTMLSelectElement) || [...field.options].some(({ value }) => value === text)) field.value = text;
    }
    this.#changed();
  }

  /** Merge the rows of the vocabularies that both have, as an error's advice offers. */
  intersect(): void {
    this.#field("vocabulary").value = "intersect";
    this.#changed();
  }

  /** Choose what keeps more of the change, as the report offers. */
  keepMore(by: "float32" | "stochastic"): void {
    const [name, value] = by === "float32" ? ["dtype", by] : ["rounding", by];
    this.#field(name!).value = value!;
    this.#changed();
  }

  #changed(): void {
    const options = this.options();
    const wrong = typeof options === "string" ? options : "";
    this.#mark("seed", wrong.includes("seed"), "plan-body");
    this.#mark("maxShardSize", wrong !== "" && !wrong.includes("seed"), "plan-body");
    const changes = typeof options === "string" ? 1 : this.#changes(options);
    this.#note.textContent = changes > 0 ? `${changes} changed` : "";
    this.#onChange();
  }

  /** Whether a field's content is wrong, and the id of what says so. */
  #mark(name: string, wrong: boolean, saidBy: string): void {
    const field = this.#form.elements.namedItem(name) as HTMLInputElement;
    field.setAttribute("aria-invalid", String(wrong));
    if (wrong) field.setAttribute("aria-describedby", saidBy);
    else field.removeAttribute("aria-describedby");
  }

  #changes({ statistics, ...others }: FormOptions): number {
    return Object.keys(others).length + (statistics ? 0 : 1);
  }

  #text(name: string): string {
    return this.#field(name).value.trim();
  }

  #field(name: string): HTMLInputElement | HTMLSelectElement {
    return this.#form.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement;
  }

  #fields(): (HTMLInputElement | HTMLSelectElement)[] {
    return [...this.#form.elements].filter((field) => field instanceof HTMLInputElement || field instanceof HTMLSelectElement);
  }

  #box(name: Switch): HTMLInputElement {
    return this.#form.elements.namedItem(name) as HTMLInputElement;
  }
}

/** What a field has at first, as a link says it. */
function initial(field: HTMLInputElement | HTMLSelectElement): string {
  if (field instanceof HTMLSelectElement) return [...field.options].find(({ defaultSelected }) => defaultSelected)?.value ?? field.options[0]!.value;
  return field.type === "checkbox" ? (field.defaultChecked ? "yes" : "no") : field.defaultValue;
}
