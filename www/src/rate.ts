/** Seconds over which the speed is averaged: steady enough to read, quick enough to be true. */
const WINDOW = 3;

/** A smoothed speed from (time, bytes) readings. */
export class Rate {
  #time: number;
  #bytes = 0;
  #weight = 0;
  #sum = 0;

  /** @param now in seconds */
  constructor(now: number) {
    this.#time = now;
  }

  update(now: number, bytes: number): void {
    const elapsed = now - this.#time;
    if (elapsed <= 0) return;
    const keep = Math.exp(-elapsed / WINDOW);
    this.#sum = this.#sum * keep + (bytes - this.#bytes);
    this.#weight = this.#weight * keep + elapsed;
    this.#time = now;
    this.#bytes = bytes;
  }

  /** Bytes each second; 0 before anything is known. */
  get perSecond(): number {
    return this.#weight > 0 ? this.#sum / this.#weight : 0;
  }
}
