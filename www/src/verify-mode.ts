import { LorafoldError, verify, type VerifyOptions } from "lorafold";
import { button, byId, make } from "./dom.js";
import { downloadButton } from "./downloads.js";
import { counted, duration } from "./format.js";
import { announce } from "./status.js";
import { verdictView } from "./verdict-view.js";
import { sentence } from "./verdict-words.js";

/** What verifying needs of the page. */
export interface VerifyHost {
  /** What is verified, or what is missing, in words. */
  asked: () => VerifyOptions | string;
  /** Show an error, with the ways out of it. */
  complain: (region: HTMLElement, error: unknown, retry: () => void) => void;
  /** While it runs, what it was asked cannot be changed. */
  setBusy: (busy: boolean) => void;
}

/** Whether a merged model is the merge that it should be: the second mode of the page. */
export class VerifyMode {
  readonly #host: VerifyHost;
  readonly #start = button("Verify", { class: "button button-primary", "data-testid": "verify", "aria-describedby": "verify-hint" }, () => void this.#run());
  readonly #hint = make("p", { class: "hint", id: "verify-hint" });
  readonly #bar = make("progress", { "data-testid": "verify-progress", "aria-labelledby": "verify-heading" });
  readonly #figures = make("p", { class: "progress-figures" });
  readonly #cancel = button("Cancel", { "data-testid": "verify-cancel" }, () => this.#running?.abort());
  readonly #progress = make("div", { class: "progress", hidden: true }, this.#bar, this.#figures, this.#cancel);
  readonly #error = make("div", { role: "alert", "data-testid": "verify-error" });
  readonly #result = make("div", {});
  #running: AbortController | undefined;

  constructor(place: HTMLElement, host: VerifyHost) {
    this.#host = host;
    place.replaceChildren(make("div", { class: "run-actions" }, this.#start, this.#hint), this.#progress, this.#error, this.#result);
    this.refresh();
  }

  get running(): boolean {
    return this.#running !== undefined;
  }

  /** Something was chosen, or a plan was made: the button can be pressed, or it is said why not. */
  refresh(): void {
    const asked = this.#host.asked();
    this.#start.disabled = this.running || typeof asked === "string";
    this.#hint.textContent = !this.running && typeof asked === "string" ? asked : "";
  }

  /** What is asked has changed: the verdict is on something else. */
  forget(): void {
    this.#error.replaceChildren();
    this.#result.replaceChildren();
    this.refresh();
  }

  async #run(): Promise<void> {
    const asked = this.#host.asked();
    if (typeof asked === "string" || this.running) return;
    const { signal } = (this.#running = new AbortController());
    this.forget();
    this.#busy(true);
    this.#cancel.focus();
    announce("Verifying");
    const started = performance.now();
    try {
      const report = await verify({ ...asked, signal, onProgress: (progress) => this.#show(progress) });
      this.#busy(false);
      const seconds = (performance.now() - started) / 1000;
      const json = new Blob([`${JSON.stringify(report, null, 2)}\n`], { type: "application/json" });
      this.#result.replaceChildren(verdictView(report, asked.method), make("p", { class: "hint" }, `${counted(report.tensors.length, "tensor")} compared in ${duration(seconds)}.`), downloadButton(json, "verdict.json"));
      byId("verify-heading").focus({ preventScroll: true });
      announce(sentence(report, asked.method));
    } catch (error) {
      this.#busy(false);
      this.#start.focus();
      const stopped = signal.aborted && error instanceof LorafoldError && error.code === "aborted";
      if (stopped) this.#hint.textContent = "Cancelled.";
      else this.#host.complain(this.#error, error, () => void this.#run());
    }
  }

  #busy(busy: boolean): void {
    if (!busy) this.#running = undefined;
    document.title = "lorafold";
    this.#progress.hidden = !busy;
    // No value: how many there are is known when the first is judged.
    this.#bar.removeAttribute("value");
    this.#figures.textContent = "Reading headers…";
    this.#host.setBusy(busy);
    this.refresh();
  }

  #show({ tensors, total }: { tensors: number; total: number }): void {
    this.#bar.max = Math.max(total, 1);
    this.#bar.value = tensors;
    this.#figures.textContent = `${tensors} of ${counted(total, "tensor")}`;
    document.title = `${Math.floor((100 * tensors) / Math.max(total, 1))} % · lorafold`;
  }
}
