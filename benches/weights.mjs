// @ts-check
// Seeded weights that look like a model's: bell-shaped around zero, every exponent and mantissa in use.

const BLOCK = 16 << 20;

/** @param {number} seed */
function xorshift(seed) {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** An endless run of values of one type. One block of them is made; what follows are copies of it, each begun elsewhere. */
export class Weights {
  #block;
  #at = 0;
  #next;
  #width;

  /**
   * @param {"BF16" | "F32"} dtype
   * @param {number} deviation standard deviation
   * @param {number} seed
   */
  constructor(dtype, deviation, seed) {
    this.#next = xorshift(seed);
    this.#width = dtype === "F32" ? 4 : 2;
    const floats = new Float32Array(BLOCK / this.#width);
    // The sum of four bytes has mean 510 and deviation 147.8; the fraction fills the lower bits.
    for (let i = 0; i < floats.length; i++) {
      const word = this.#next();
      const sum = (word & 255) + ((word >>> 8) & 255) + ((word >>> 16) & 255) + (word >>> 24);
      floats[i] = ((sum - 510 + this.#next() / 2 ** 32) / 147.8) * deviation;
    }
    if (dtype === "F32") {
      this.#block = new Uint8Array(floats.buffer);
    } else {
      const bits = new Uint32Array(floats.buffer);
      this.#block = new Uint8Array(Uint16Array.from(bits, (word) => word >>> 16).buffer);
    }
  }

  /** The next so many bytes, in parts. @param {number} bytes */
  *take(bytes) {
    for (let left = bytes; left > 0; ) {
      const part = this.#block.subarray(this.#at, this.#at + left);
      yield part;
      left -= part.length;
      this.#at += part.length;
      if (this.#at === this.#block.length) this.#at = (this.#next() % (BLOCK / 2 / this.#width)) * this.#width;
    }
  }
}
