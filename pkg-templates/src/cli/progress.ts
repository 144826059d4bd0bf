import type { WriteStream } from "node:tty";
import type { Progress } from "../types.js";
import { ERASE, printable } from "./printable.js";
import { size } from "./text.js";

/** Milliseconds between two drawings of the bar. */
const REDRAW = 100;
/** Milliseconds between two lines where there is no terminal. */
const RARELY = 10_000;

/** A bar on a terminal, rare lines elsewhere. */
export class ProgressLine {
  readonly #out: WriteStream;
  readonly #started = performance.now();
  #shown: number;
  #open = false;

  constructor(out: WriteStream) {
    this.#out = out;
    // Elsewhere than on a terminal a short merge says nothing.
    this.#shown = out.isTTY ? Number.NEGATIVE_INFINITY : this.#started;
  }

  show({ bytes, total, file }: Progress): void {
    const now = performance.now();
    if (now - this.#shown < (this.#out.isTTY ? REDRAW : RARELY)) return;
    this.#shown = now;
    const seconds = (now - this.#started) / 1000;
    const rate = bytes / Math.max(seconds, 1e-3);
    const left = (total - bytes) / Math.max(rate, 1);
    const share = total > 0 ? bytes / total : 1;
    const text = `${Math.floor(share * 100)}% ${size(bytes)} of ${size(total)}, ${size(rate)}/s, ${Math.ceil(left)} s left, ${file}`;
    if (!this.#out.isTTY) {
      this.#out.write(`${text}\n`);
      return;
    }
    const filled = Math.round(share * 24);
    this.#out.write(`${ERASE}${`[${"#".repeat(filled)}${".".repeat(24 - filled)}] ${printable(text)}`.slice(0, this.#out.columns || 80)}`);
    this.#open = true;
  }

  end(): void {
    if (this.#open) this.#out.write(ERASE);
    this.#open = false;
  }
}
