//! Stochastic rounding: a number between two that a type holds becomes the upper one as often as it is near it, so that what is too small to
//! change one element still changes its share of many.
//!
//! The random number is compared with the bits that are dropped, all in integers: the same result on every machine. Described, with its error
//! bounds, by Croci, Fasi, Higham, Mary, Mikaitis, "Stochastic rounding: implementation, error analysis and applications" (Royal Society Open
//! Science 9, 2022).

use super::philox::random_block;
use super::{Float, bf16, f16};

/// Random bits for one element.
const RANDOM_BITS: u32 = 32;

/// Fraction bits of f64.
const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;

/// Exponent of the smallest normal f64.
const LOWEST: i32 = f64::MIN_EXP - 1;

/// A type that values are rounded to.
struct Narrow {
    /// Its fraction bits.
    fraction: u32,
    /// Exponent of the smallest normal number.
    lowest: i32,
    /// The largest finite number.
    largest: f64,
    /// The bit of the sign.
    sign: u32,
}

impl Narrow {
    /// `None` for f64, which holds every computed value.
    fn of(float: Float) -> Option<Narrow> {
        let (fraction, lowest, largest) = match float {
            Float::F16 => (10, -14, f16::decode(0x7BFF)),
            Float::Bf16 => (7, -126, bf16::decode(0x7F7F)),
            Float::F32 => (23, -126, f32::MAX),
            Float::F64 => return None,
        };
        Some(Narrow { fraction, lowest, largest: largest.into(), sign: 1 << (8 * float.bytes() - 1) })
    }

    /// The bits of `value` rounded towards zero, or away from it where `random` is less than 2³² times the dropped part of a step. Its size is at
    /// most that of the largest number.
    #[inline]
    fn round(&self, value: f64, random: u32) -> u32 {
        let bits = value.to_bits();
        let stored = (bits >> FRACTION) as i32 & 0x7FF;
        let fraction = bits & ((1 << FRACTION) - 1);
        let (significand, exponent) = match stored {
            0 => (fraction, LOWEST),
            _ => (fraction | 1 << FRACTION, stored - 1 + LOWEST),
        };
        let steps = exponent.max(self.lowest);
        let dropped = FRACTION - self.fraction + (steps - exponent) as u32;
        let kept = significand.checked_shr(dropped).unwrap_or(0);
        let rest = significand - kept.checked_shl(dropped).unwrap_or(0);
        let share = if dropped <= RANDOM_BITS {
            rest << (RANDOM_BITS - dropped)
        } else {
            rest.checked_shr(dropped - RANDOM_BITS).unwrap_or(0)
        };
        let away = u32::from(u64::from(random) < share);
        // Where the fraction is full, the one carries into the exponent.
        let size = (((steps - self.lowest) as u32) << self.fraction) + kept as u32 + away;
        if value.is_sign_negative() { size | self.sign } else { size }
    }
}

/// Writes `values` to `out`, elements of type `to`, rounded by the random numbers of `key` for the elements from `first` on. What `to` holds
/// exactly stays; what is larger than its largest number, infinite or NaN becomes what rounding to nearest makes of it.
///
/// Gives the first value that was finite and is not any more, by its number among `values`.
///
/// # Panics
/// If `out` is shorter than `values`.
pub fn write_stochastic<R: Copy + Into<f64>>(
    values: &[R],
    first: u64,
    key: u64,
    to: Float,
    out: &mut [u8],
) -> Option<u64> {
    let narrow = Narrow::of(to);
    let width = to.bytes();
    let mut left = None;
    let (mut block, mut numbers) = (None, [0; 4]);
    for ((element, &value), out) in (first..).zip(values).zip(out.chunks_exact_mut(width)) {
        let value: f64 = value.into();
        match &narrow {
            Some(narrow) if value.abs() <= narrow.largest => {
                if block != Some(element / 4) {
                    block = Some(element / 4);
                    numbers = random_block(element / 4, key);
                }
                let bits = narrow.round(value, numbers[(element % 4) as usize]);
                out.copy_from_slice(&bits.to_le_bytes()[..width]);
            }
            _ => {
                to.write(value, out);
                if value.is_finite() && !to.read(out).is_finite() {
                    left = left.or(Some(element - first));
                }
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::random_of;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NARROW: [Float; 3] = [Float::F16, Float::Bf16, Float::F32];

    /// `count` values around `center`, spread evenly over `width`, in a scrambled order.
    fn spread(center: f64, width: f64, count: u64) -> Vec<f64> {
        let place = |number: u64| (number * 7919 % count) as f64 / count as f64 - 0.5;
        (0..count).map(|number| center + width * place(number)).collect()
    }

    fn read_back(float: Float, bytes: &[u8]) -> Vec<f64> {
        bytes.chunks_exact(float.bytes()).map(|bytes| float.read(bytes)).collect()
    }

    #[test]
    fn each_row_is_what_exact_fractions_give() {
        let made: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/rounding.json")).unwrap();
        let rows: Vec<(String, String, u32, String)> = serde_json::from_value(made["rows"].clone()).unwrap();
        assert!(rows.len() > 2000);
        for (name, bits, random, expected) in rows {
            let float = NARROW.into_iter().find(|float| float.dtype().to_string() == name).unwrap();
            let value = f64::from_bits(u64::from_str_radix(&bits, 16).unwrap());
            let narrow = Narrow::of(float).unwrap();
            let mut out = [0; 8];
            if value.abs() <= narrow.largest {
                out[..4].copy_from_slice(&narrow.round(value, random).to_le_bytes());
            } else {
                let left = write_stochastic(&[value], 3, 5, float, &mut out);
                assert_eq!(left, (value.is_finite() && float.read(&out).is_infinite()).then_some(0), "{value:e}");
            }
            let expected = u64::from_str_radix(&expected, 16).unwrap();
            assert_eq!(u64::from_le_bytes(out), expected, "{value:e} to {name} by {random}");
        }
    }

    #[test]
    fn an_f32_goes_up_for_exactly_its_share_of_the_numbers() {
        let bf16 = Narrow::of(Float::Bf16).unwrap();
        // Of the 2³² numbers only the upper 16 bits matter for 16 dropped bits.
        for low in [0u32, 1, 2, 0x7FFF, 0x8000, 0x8001, 0xABCD, 0xFFFF] {
            let value = f64::from(f32::from_bits(0xC0A5_0000 | low));
            let away = (0..=0xFFFFu32).filter(|upper| bf16.round(value, upper << 16) == 0xC0A6).count();
            assert_eq!(away as u32, low);
            assert_eq!(bf16.round(value, (low << 16).wrapping_sub(1)), if low > 0 { 0xC0A6 } else { 0xC0A5 });
        }
    }

    #[test]
    fn what_a_type_holds_stays() {
        for float in NARROW {
            let codes: Vec<u32> = match float {
                Float::F32 => (0..=0xFFFFu32).map(|code| code << 16 | code).collect(),
                _ => (0..=0xFFFF).collect(),
            };
            for code in codes {
                let bytes = code.to_le_bytes();
                let value = float.read(&bytes);
                let mut out = [0; 4];
                assert_eq!(write_stochastic(&[value], code.into(), 1, float, &mut out), None);
                if value.is_nan() {
                    let mut canonical = [0; 4];
                    float.write(f64::NAN, &mut canonical);
                    assert_eq!(out, canonical);
                } else {
                    assert_eq!(out, bytes, "{value:e}");
                }
            }
        }
    }

    /// The error of one value is between -1 and 1 steps, with a mean of zero but for 2⁻³² of a step and a variance of p(1 - p) ≤ 1/4. So the mean of
    /// n errors has a standard deviation of at most 1/(2√n) steps, and is within four of them (Chernoff: but for one key in 1000 or so). The keys are
    /// fixed, so that this holds always or never.
    #[test]
    fn the_mean_error_is_within_its_bound() {
        const COUNT: u64 = 20_000;
        let bound = 4.0 / (2.0 * (COUNT as f64).sqrt());
        for float in NARROW {
            let Narrow { fraction, lowest, .. } = Narrow::of(float).unwrap();
            // Within one power of two, so that all have one step: normal numbers, and subnormal ones.
            for exponent in [0, lowest + 3, lowest - 2] {
                let step = 2f64.powi(exponent.max(lowest) - fraction as i32);
                for (key, sign) in [(0, 1.0), (u64::MAX, -1.0), (0x0123_4567_89ab_cdef, 1.0)] {
                    let values = spread(sign * 1.5 * 2f64.powi(exponent), 0.9 * 2f64.powi(exponent), COUNT);
                    let mut out = vec![0; values.len() * float.bytes()];
                    assert_eq!(write_stochastic(&values, 5, key, float, &mut out), None);
                    let errors =
                        read_back(float, &out).into_iter().zip(&values).map(|(out, value)| (out - value) / step);
                    let mut sum = 0.0;
                    for error in errors {
                        assert!(error.abs() < 1.0, "{float:?} {error}");
                        sum += error;
                    }
                    let mean = sum / COUNT as f64;
                    assert!(mean.abs() <= bound, "{float:?} 2^{exponent} under {key:#x}: {mean} steps");
                }
            }
        }
    }

    #[test]
    fn one_element_is_unbiased_over_the_keys() {
        const COUNT: u64 = 20_000;
        let bf16 = Narrow::of(Float::Bf16).unwrap();
        for place in [0.001, 0.3, 0.5, 0.97] {
            let value = 1.0 + place / 128.0;
            for element in [0, 3, (1 << 34) + 2] {
                let keys = (0..COUNT).map(|key| key.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let ups = keys.filter(|&key| bf16.round(value, random_of(element, key)) == 0x3F81).count();
                let (mean, deviation) = (place * COUNT as f64, (place * (1.0 - place) * COUNT as f64).sqrt());
                assert!((ups as f64 - mean).abs() <= 4.0 * deviation, "{ups} for {mean} ± {deviation}");
            }
        }
    }

    #[test]
    fn any_run_of_elements_is_that_run_of_the_whole() {
        let values = spread(3.0, 7.0, 61);
        for float in NARROW {
            let width = float.bytes();
            let mut whole = vec![0; values.len() * width];
            write_stochastic(&values, 1 << 35, 42, float, &mut whole);
            for start in 0..values.len() {
                for end in start..=values.len() {
                    let mut part = vec![0; (end - start) * width];
                    write_stochastic(&values[start..end], (1 << 35) + start as u64, 42, float, &mut part);
                    assert_eq!(part, whole[start * width..end * width]);
                }
            }
        }
    }
}
