import { adviceFor } from "./advice.js";
import { about, type About } from "./description.js";
import { button, make } from "./dom.js";
import { onHub } from "./hub-access.js";
import type { Picked } from "./picked.js";

/** What can be done with an input once it is known what it is. */
export interface Moves {
  /** Take the base that an adapter names. */
  takeBase(name: string): void;
  /** Put what is an adapter under the adapters, and a base in the base's place. */
  putRight(): void;
}

/** One or two lines below an input's name that say what it is, as soon as that is known. */
export class AboutView {
  readonly element = make("div", { class: "about", role: "status", "data-testid": "about" });
  readonly #takeBase: HTMLButtonElement;
  readonly #describe: () => Promise<void>;
  #putRight: HTMLButtonElement | undefined;
  #named: string | undefined;
  #failed = false;

  /** `onFound` is told when it is known what the input is. */
  constructor(picked: Picked, role: "base" | "adapter", moves: Moves, onFound: () => void) {
    this.#takeBase = button("", { hidden: true, "data-testid": "take-base" }, () => this.#named !== undefined && moves.takeBase(this.#named));
    this.#describe = async () => {
      try {
        this.#show(await about(picked, role), role, moves);
        onFound();
      } catch (error) {
        this.#failed = true;
        this.element.replaceChildren(make("p", { class: "complaint" }, `${adviceFor(error, [picked]).title}.`));
      }
    };
    void this.#describe();
  }

  /** Try once more what failed: whoever asks may be known now. */
  again(): void {
    if (!this.#failed) return;
    this.#failed = false;
    void this.#describe();
  }

  /** Offer the base that the adapter names, or that it is itself, or not: one may be chosen already, to which a whole model can be added, too. */
  offerBase(wanted: boolean, chosen: string | undefined): void {
    if (this.#putRight) this.#putRight.hidden = !wanted;
    this.#takeBase.hidden = !wanted || this.#named === undefined || this.#named.toLowerCase() === chosen?.toLowerCase();
  }

  #show({ kind, text, baseModel }: About, role: "base" | "adapter", moves: Moves): void {
    this.element.replaceChildren(make("p", { class: "chosen-about" }, kind === "base" && role === "adapter" ? `a whole model\u00a0· ${text}` : text));
    if (kind !== role) {
      const where = kind === "adapter" ? "This is an adapter: put it under the adapters" : "This is a base: put it in the base’s place";
      this.#putRight = button(where, { "data-testid": "put-right" }, () => moves.putRight());
      this.element.append(this.#putRight);
    }
    this.#named = repositoryName(baseModel);
    this.#takeBase.textContent = `Use ${this.#named ?? ""} as the base`;
    this.element.append(this.#takeBase);
  }
}

/** The name on the hub of a base that an adapter names; trainers write paths of their machine, too. */
function repositoryName(named: string | undefined): string | undefined {
  try {
    return named === undefined ? undefined : onHub(named)?.name;
  } catch {
    return undefined;
  }
}
