import type { Progress } from "lorafold";
import { byId } from "./dom.js";
import { bytes, duration } from "./format.js";
import { Rate } from "./rate.js";
import { announce } from "./status.js";

/** Figures that change faster cannot be read. */
const PAINT_EVERY = 0.1;
const SPEAK_EVERY = 10;
/** Until then speed and time left would be guesses. */
const SETTLED = 1;

/** The bar, its figures, and now and then a word for screen readers. */
export class ProgressView {
  readonly #bar = byId<HTMLProgressElement>("progress-bar");
  readonly #text = byId("progress-text");
  readonly #started = seconds();
  readonly #rate = new Rate(this.#started);
  #painted = 0;
  #spoken = this.#started;

  constructor() {
    // No value: how much there is to do is known when the first part is done.
    this.#bar.removeAttribute("value");
    this.#text.textContent = "Starting…";
    byId("progress").hidden = false;
  }

  get elapsed(): number {
    return seconds() - this.#started;
  }

  show({ bytes: done, total, file }: Progress): void {
    const now = seconds();
    if (now - this.#painted < PAINT_EVERY && done < total) return;
    this.#painted = now;
    this.#rate.update(now, done);
    this.#bar.max = Math.max(total, 1);
    this.#bar.value = done;
    const share = Math.floor((100 * done) / Math.max(total, 1));
    this.#text.textContent = [`${bytes(done)} of ${bytes(total)}`, ...this.#speed(now, total - done), file].join(" · ");
    document.title = `${share} % · lorafold`;
    if (now - this.#spoken >= SPEAK_EVERY) {
      this.#spoken = now;
      announce(`${share} percent merged`);
    }
  }

  end(): void {
    byId("progress").hidden = true;
    document.title = "lorafold";
  }

  #speed(now: number, left: number): string[] {
    const rate = this.#rate.perSecond;
    if (rate <= 0 || now - this.#started < SETTLED) return [];
    return [`${bytes(Math.round(rate))}/s`, `${duration(left / rate)} left`];
  }
}

function seconds(): number {
  return performance.now() / 1000;
}
