//! bfloat16: the upper half of an f32.

use super::f64::round_to_odd;

/// The one NaN that [`encode`] writes.
pub const NAN: u16 = 0x7FC0;

/// The value of `bits`, exactly.
pub fn decode(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// `value` rounded once to nearest, ties to even. Every NaN becomes [`NAN`].
pub fn encode(value: f32) -> u16 {
    if value.is_nan() {
        return NAN;
    }
    let bits = value.to_bits();
    let odd = (bits >> 16) & 1;
    ((bits + 0x7FFF + odd) >> 16) as u16
}

/// [`encode`] of an f64, with one rounding.
pub fn encode_f64(value: f64) -> u16 {
    encode(round_to_odd(value))
}
