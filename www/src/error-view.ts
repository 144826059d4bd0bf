import { LorafoldError } from "lorafold";
import { adviceFor, type Offer } from "./advice.js";
import { button, make } from "./dom.js";
import type { Picked } from "./picked.js";

/** What can be done about an error with one click. */
export interface Remedies {
  /** `undefined` where the option is on already. */
  take(offer: Offer): (() => void) | undefined;
  retry?: () => void;
}

/** Show an error in a region with role=alert: what, where, which code, and what to do. `inputs` are the base and the adapters. */
export function showError(region: HTMLElement, error: unknown, inputs: readonly Picked[], remedies: Remedies): void {
  const known = error instanceof LorafoldError ? error : undefined;
  const { title, todo, offer, passing } = adviceFor(error, inputs);
  const facts = make("dl", { class: "error-facts" });
  const fact = (name: string, value: string | undefined) => {
    if (value !== undefined) facts.append(make("div", {}, make("dt", {}, name), make("dd", { class: "code" }, value)));
  };
  fact("Code", known?.code ?? "unexpected");
  fact("Adapter", known?.adapter);
  fact("Tensor", known?.tensor);
  const take = offer && remedies.take(offer);
  const retry = passing && remedies.retry;
  region.replaceChildren(
    make("div", { class: "error" },
      make("p", { class: "error-title" }, title),
      make("p", { class: "error-message" }, error instanceof Error ? error.message : String(error)),
      facts,
      make("p", { class: "error-todo" }, todo),
      take && button(offer.label, {}, take),
      retry && button("Try again", {}, retry),
    ),
  );
}

/** Take the error in a region away. */
export function clearError(region: HTMLElement): void {
  region.replaceChildren();
}
