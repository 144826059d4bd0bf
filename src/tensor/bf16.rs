//! bfloat16: the upper half of an f32.
//!
//! `half` converts, in plain Rust (`_const`), which gives the same bits on every machine, whatever instructions it has.

use half::bf16;

use super::rounding::round_to_odd;

/// The one NaN that [`encode`] writes.
pub const NAN: u16 = 0x7FC0;

/// The value of `bits`, exactly. A NaN becomes quiet.
pub fn decode(bits: u16) -> f32 {
    bf16::from_bits(bits).to_f32_const()
}

/// `value` rounded once to nearest, ties to even. Every NaN becomes [`NAN`].
pub fn encode(value: f32) -> u16 {
    if value.is_nan() { NAN } else { bf16::from_f32_const(value).to_bits() }
}

/// [`encode`] of an f64, with one rounding.
pub fn encode_f64(value: f64) -> u16 {
    encode(round_to_odd(value))
}
