//! IEEE 754 binary16: 1 sign bit, 5 exponent bits, 10 fraction bits. Exact, subnormals included.

use super::f64::round_to_odd;

/// The one NaN that [`encode`] writes.
pub const NAN: u16 = 0x7E00;

/// 2^-24, the unit of subnormal numbers.
const UNIT: f32 = f32::from_bits((127 - 24) << 23);

/// 2^-14.
const LEAST_NORMAL: f32 = f32::from_bits((127 - 14) << 23);

/// The value of `bits`, exactly.
pub fn decode(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7FFF);
    let value = match magnitude {
        // Subnormal: a whole number of 2^-24.
        0..0x0400 => (magnitude as f32 * UNIT).to_bits(),
        0x0400..0x7C00 => (magnitude << 13) + ((127 - 15) << 23),
        _ => (magnitude << 13) | 0x7F80_0000,
    };
    f32::from_bits(sign | value)
}

/// `value` rounded once to nearest, ties to even. From 65520 on that is infinity; every NaN becomes [`NAN`].
pub fn encode(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7FFF_FFFF;
    if magnitude > 0x7F80_0000 {
        return NAN;
    }
    let rounded = if value.abs() >= 65520.0 {
        0x7C00
    } else if value.abs() >= LEAST_NORMAL {
        let odd = (magnitude >> 13) & 1;
        (magnitude - ((127 - 15) << 23) + 0x0FFF + odd) >> 13
    } else {
        // Between 0.5 and 1 the unit of f32 is 2^-24, the unit of subnormal f16: the addition itself does the rounding.
        (value.abs() + 0.5).to_bits() - 0.5f32.to_bits()
    };
    sign | rounded as u16
}

/// [`encode`] of an f64, with one rounding.
pub fn encode_f64(value: f64) -> u16 {
    encode(round_to_odd(value))
}
