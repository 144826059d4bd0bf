//! IEEE 754 binary16: 1 sign bit, 5 exponent bits, 10 fraction bits.
//!
//! `half` converts, in plain Rust (`_const`), which gives the same bits on every machine, whatever instructions it has.

use half::f16;

use super::rounding::round_to_odd;

/// The one NaN that [`encode`] writes.
pub const NAN: u16 = 0x7E00;

/// The value of `bits`, exactly. A NaN becomes quiet.
pub fn decode(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32_const()
}

/// `value` rounded once to nearest, ties to even. From 65520 on that is infinity; every NaN becomes [`NAN`].
pub fn encode(value: f32) -> u16 {
    if value.is_nan() { NAN } else { f16::from_f32_const(value).to_bits() }
}

/// [`encode`] of an f64, with one rounding.
pub fn encode_f64(value: f64) -> u16 {
    encode(round_to_odd(value))
}
