// @ts-check
// Floating-point formats by their definition: decode to float64, encode with one rounding to nearest even.

/** @typedef {"F16" | "BF16" | "F32" | "F64"} Float */

/** Bits of the stored fraction, and the exponents of the smallest and the largest normal number.
 * @type {Record<Float, { width: number, fraction: number, least: number, most: number }>} */
export const FORMATS = {
  F16: { width: 2, fraction: 10, least: -14, most: 15 },
  BF16: { width: 2, fraction: 7, least: -126, most: 127 },
  F32: { width: 4, fraction: 23, least: -126, most: 127 },
  F64: { width: 8, fraction: 52, least: -1022, most: 1023 },
};

const scratch = new DataView(new ArrayBuffer(8));

/** The exponent of the leading bit. @param {number} value finite and not 0 */
function exponent(value) {
  scratch.setFloat64(0, value);
  const stored = (scratch.getUint16(0) >> 4) & 0x7ff;
  return stored === 0 ? Math.floor(Math.log2(Math.abs(value))) : stored - 1023;
}

/** The distance of neighbours at a magnitude. @param {number} value @param {Float} format */
export function ulp(value, format) {
  const { fraction, least } = FORMATS[format];
  return 2 ** ((value === 0 ? least : Math.max(exponent(value), least)) - fraction);
}

/** The nearest value of a format, ties to even. @param {number} value @param {Float} format */
export function round(value, format) {
  if (value === 0 || !Number.isFinite(value) || format === "F64") return value;
  const quantum = ulp(value, format);
  const steps = Math.abs(value) / quantum;
  const low = Math.floor(steps);
  const rest = steps - low;
  const rounded = (rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low) * quantum;
  return Math.sign(value) * (rounded >= 2 ** (FORMATS[format].most + 1) ? Infinity : rounded);
}

/** @param {number} bits */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const stored = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (stored === 31) return fraction ? NaN : sign * Infinity;
  return sign * (stored === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (stored - 15));
}

/** The bits of a value that {@link round} gave. @param {number} value */
function toHalf(value) {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size === Infinity) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | (size * 2 ** 24);
  const power = exponent(size);
  return sign | ((power + 15) << 10) | ((size / 2 ** power - 1) * 1024);
}

/** @param {Uint8Array} bytes @param {Float} format @returns {Float64Array} */
export function decode(bytes, format) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.byteLength / FORMATS[format].width;
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    if (format === "F64") values[i] = view.getFloat64(i * 8, true);
    else if (format === "F32") values[i] = view.getFloat32(i * 4, true);
    else if (format === "F16") values[i] = fromHalf(view.getUint16(i * 2, true));
    else {
      scratch.setUint32(0, view.getUint16(i * 2, true) << 16);
      values[i] = scratch.getFloat32(0);
    }
  }
  return values;
}

/** @param {ArrayLike<number>} values @param {Float} format @returns {Buffer} */
export function encode(values, format) {
  const { width } = FORMATS[format];
  const bytes = Buffer.alloc(values.length * width);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < values.length; i++) {
    const value = round(values[i], format);
    if (format === "F64") view.setFloat64(i * 8, value, true);
    else if (format === "F32") view.setFloat32(i * 4, value, true);
    else if (format === "F16") view.setUint16(i * 2, toHalf(value), true);
    else {
      scratch.setFloat32(0, value);
      view.setUint16(i * 2, scratch.getUint16(0), true);
    }
  }
  return bytes;
}

/** @param {ArrayLike<number>} values */
export function largest(values) {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  return most;
}

/** A generator of numbers in [0, 1) that gives the same ones for the same seed (mulberry32). @param {number} seed */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
