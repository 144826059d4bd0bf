import { LorafoldError } from "lorafold";
import { adviceFor, type Offer } from "./advice.js";
import { GENERAL } from "./clues.js";
import { button, make } from "./dom.js";
import type { Picked } from "./picked.js";
import { inPageWords, optionNamed } from "./words.js";

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
  const retry = passing ? remedies.retry : undefined;
  region.replaceChildren(
    make("div", { class: "error" },
      make("p", { class: "error-title" }, title),
      make("p", { class: "error-message" }, inPageWords(withoutFix(error))),
      facts,
      make("p", { class: "error-todo" }, known ? whatToDo(known, todo) : todo),
      (take || retry) && make("div", { class: "choices" }, take && button(offer.label, {}, take), retry && button("Try again", {}, retry)),
    ),
  );
}

/** What happened alone: what to do about it has a place of its own. */
function withoutFix(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const end = error instanceof LorafoldError && error.facts.fix !== undefined ? `; ${error.facts.fix}` : "";
  return end && error.message.endsWith(end) ? error.message.slice(0, -end.length) : error.message;
}

/** The page's advice, after what the error itself says where that is more to the point. */
function whatToDo({ facts: { kind, fix } }: LorafoldError, todo: string): string {
  if (fix === undefined || optionNamed(fix) || (kind !== undefined && !GENERAL.has(kind))) return todo;
  const said = inPageWords(fix);
  return `${said.charAt(0).toUpperCase()}${said.slice(1)}. ${todo}`;
}

/** Take the error in a region away. */
export function clearError(region: HTMLElement): void {
  region.replaceChildren();
}
