import type { PlanOptions } from "lorafold";
import { METHODS, isMethod, type Method, type MethodName, type MethodOption } from "./methods.js";
import { parseNumber } from "./number-field.js";

/** The part of the API's options that is about the method. */
export type MethodOptions = Pick<PlanOptions, "method" | "density" | "majoritySign" | "gamma" | "epsilon" | "normalize" | "flavor">;

/** What is typed or picked for an option, as text: empty where nothing is. */
export type MethodText = Exclude<MethodOption, "seed">;

const NAMES: readonly MethodText[] = ["density", "majoritySign", "gamma", "epsilon", "normalize", "flavor"];

/** What a link calls them. */
export const METHOD_PARAMETERS: readonly string[] = ["method", ...NAMES];

/** What is wrong with a number, and of which field it is. */
export interface WrongNumber {
  field: MethodText;
  says: string;
}

/** How the adapters become one, and what is said of it: also before there is anything to be seen of it. */
export class MethodChoice {
  name: MethodName = "linear";
  readonly #texts: Partial<Record<MethodText, string>> = {};
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get method(): Method {
    return METHODS[this.name];
  }

  pick(name: MethodName): void {
    this.name = name;
    this.#onChange();
  }

  text(option: MethodText): string {
    return this.#texts[option] ?? "";
  }

  set(option: MethodText, text: string): void {
    this.#texts[option] = text.trim();
    this.#onChange();
  }

  /** The share of each change that is kept, as far as that is a number. */
  get density(): number | undefined {
    return parseNumber(this.text("density")) ?? this.method.density;
  }

  /** The number that is none, where there is one. */
  get wrong(): WrongNumber | undefined {
    for (const [field, name] of [["density", "share that is kept"], ["gamma", "share of outliers"], ["epsilon", "spread of the chances"]] as const) {
      const is = this.method.options.includes(field) && this.text(field) !== "";
      if (is && parseNumber(this.text(field)) === undefined) return { field, says: `The ${name} must be a number, such as 0.5.` };
    }
    return undefined;
  }

  /** What the API takes: of the options those that the method has, and that say something. */
  options(): MethodOptions {
    if (this.name === "linear") return {};
    const { options, density } = this.method;
    const said = (name: MethodText) => (options.includes(name) ? this.text(name) : "");
    const number = (name: MethodText) => parseNumber(said(name));
    const share = number("density") ?? density;
    const sign = said("majoritySign") as NonNullable<MethodOptions["majoritySign"]> | "";
    const flavor = said("flavor") as NonNullable<MethodOptions["flavor"]> | "";
    return {
      method: this.name,
      ...(share !== undefined && { density: share }),
      ...(sign && { majoritySign: sign }),
      ...(number("gamma") !== undefined && { gamma: number("gamma")! }),
      ...(number("epsilon") !== undefined && { epsilon: number("epsilon")! }),
      ...(said("normalize") && { normalize: said("normalize") === "yes" }),
      ...(flavor && { flavor }),
    };
  }

  /** As the parameters of a link: those that say something. */
  parameters(): [string, string][] {
    if (this.name === "linear") return [];
    return [["method", this.name], ...NAMES.filter((name) => this.method.options.includes(name) && this.text(name)).map((name): [string, string] => [name, this.text(name)])];
  }

  /** Take what a link says. */
  follow(parameters: URLSearchParams): void {
    const name = parameters.get("method") ?? "";
    if (!isMethod(name)) return;
    this.name = name;
    for (const option of NAMES) this.#texts[option] = parameters.get(option) ?? "";
    this.#onChange();
  }
}
