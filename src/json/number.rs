//! Decimal numbers as `f64`, rounded once.
//!
//! It uses long division of whole numbers, which needs no tables: those of the standard library's parser would be a thirtieth of the
//! WebAssembly module. A configuration has few numbers.

use std::cmp::Ordering;

/// Digits beyond these decide only whether the number is above a half: the longest half between two `f64` has 767 digits.
const DIGITS: i64 = 800;
/// Powers of ten beyond this are too large for `f64`, or round to 0.
const POWER: i64 = 400;

/// The value of `text`, a number in JSON. `None` if it is too large.
pub(super) fn float(text: &str) -> Option<f64> {
    let (sign, text) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    // An exponent that does not fit is far beyond what any number of digits can balance.
    let beyond = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
    let mut power: i64 = exponent.parse().unwrap_or(beyond).clamp(i64::MIN / 2, i64::MAX / 2);
    let (mut number, mut count, mut behind_point) = (Whole::default(), 0, false);
    for digit in digits.bytes() {
        if digit == b'.' {
            behind_point = true;
            continue;
        }
        power -= i64::from(behind_point);
        let digit = u32::from(digit - b'0');
        count += i64::from(count > 0 || digit > 0);
        if count <= DIGITS {
            number.times_plus(10, digit);
        } else {
            power += 1;
            // A digit that is not 0 keeps the number above the half.
            number.0[0] |= u32::from(digit > 0);
        }
    }
    let size = power.saturating_add(count.min(DIGITS));
    if count == 0 || size < -POWER {
        return Some(sign * 0.0);
    }
    if size > POWER {
        return None;
    }
    let mut divisor = Whole(vec![1]);
    for _ in 0..power.unsigned_abs() {
        if power > 0 { number.times_plus(10, 0) } else { divisor.times_plus(10, 0) }
    }
    quotient(number, divisor).map(|value| sign * value)
}

/// Bits of a quotient, of which the first may be 0. They are two more than a result has, so that they tell what is above a half.
const BITS: i64 = 56;

/// `number / divisor`, neither of them 0. `None` if it is too large.
fn quotient(mut number: Whole, mut divisor: Whole) -> Option<f64> {
    // Both get the same number of bits, so that the quotient begins with the first bit or the second one.
    let shift = divisor.bits() - number.bits();
    if shift > 0 {
        number.shift(shift)
    } else {
        divisor.shift(-shift)
    }
    let mut quotient = 0u64;
    for _ in 0..BITS {
        quotient <<= 1;
        if number.compare(&divisor) != Ordering::Less {
            number.subtract(&divisor);
            quotient |= 1;
        }
        number.shift(1);
    }
    // The quotient's last bit means 2^last; that of the result 2^unit: one of 53 bits, or the smallest that there is.
    let last = 1 - BITS - shift;
    let unit = (last + i64::from(u64::BITS - quotient.leading_zeros()) - 53).max(-1074);
    if unit > 1023 - 52 {
        return None;
    }
    let dropped = (unit - last) as u32;
    let Some(kept) = quotient.checked_shr(dropped) else { return Some(0.0) };
    let (rest, half) = (quotient - (kept << dropped), 1 << (dropped - 1));
    let is_more = rest > half || rest == half && (number.bits() > 0 || kept & 1 == 1);
    // A carry out of the 53 bits goes on into the exponent, as it should.
    let bits = kept + u64::from(is_more) + (((unit + 1074) as u64) << 52);
    Some(f64::from_bits(bits)).filter(|value| value.is_finite())
}

/// A whole number: 32 bits each, the lowest first.
#[derive(Default)]
struct Whole(Vec<u32>);

impl Whole {
    fn times_plus(&mut self, factor: u32, plus: u32) {
        let mut carry = u64::from(plus);
        for part in &mut self.0 {
            carry += u64::from(*part) * u64::from(factor);
            *part = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// Multiply by 2^`bits`.
    fn shift(&mut self, mut bits: i64) {
        while bits > 0 {
            let step = bits.min(31);
            self.times_plus(1 << step, 0);
            bits -= step;
        }
    }

    /// Up to the highest that is 1.
    fn bits(&self) -> i64 {
        let zeros = self.0.iter().rev().take_while(|part| **part == 0).count();
        let used = &self.0[..self.0.len() - zeros];
        used.last().map_or(0, |top| used.len() as i64 * 32 - i64::from(top.leading_zeros()))
    }

    fn compare(&self, other: &Whole) -> Ordering {
        let part = |whole: &Whole, at: usize| whole.0.get(at).copied().unwrap_or(0);
        let from_top = (0..self.0.len().max(other.0.len())).rev();
        from_top.map(|at| part(self, at).cmp(&part(other, at))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Subtract a number that is not larger.
    fn subtract(&mut self, other: &Whole) {
        let mut borrow = 0;
        for (at, part) in self.0.iter_mut().enumerate() {
            let less = i64::from(*part) - i64::from(other.0.get(at).copied().unwrap_or(0)) + borrow;
            *part = less as u32;
            borrow = less >> 32;
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;

    use super::float;

    /// Compare with the standard library.
    fn check(text: &str) {
        let expected: f64 = text.parse().unwrap();
        let found = float(text);
        assert_eq!(found.unwrap_or(f64::INFINITY.copysign(expected)).to_bits(), expected.to_bits(), "{text}");
    }

    #[test]
    fn known_cases() {
        for text in [
            "0",
            "-0.0",
            "0e9999999999999999999999",
            "1",
            "10",
            "0.1",
            "-2.5e-3",
            "9007199254740993",
            "9007199254740993.00000000000000001",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "1.7976931348623159e308",
            "1e309",
            "0.1E310",
            "1e99999999999999999999",
            "5e-324",
            "2.4703282292062327e-324",
            "2.4703282292062328e-324",
            "2.2250738585072011e-308",
            "2.2250738585072014e-308",
            "1e-99999999999999999999",
            "123456789012345678901234567890e-400",
            "0.000000000000000000000000000000000000000000000000000000000001e60",
            "1E+2",
        ] {
            check(text);
        }
    }

    #[test]
    fn halves_are_told_from_what_is_just_above() {
        for bits in
            [1u64, 2, 3, 0x000f_ffff_ffff_ffff, 0x3ff0_0000_0000_0000, 0x3ff0_0000_0000_0001, 0x7fef_ffff_ffff_fffe]
        {
            // The half between two neighbours, exactly: every f64 has at most 1074 digits behind the point, the half one more.
            let (low, high) = (f64::from_bits(bits), f64::from_bits(bits + 1));
            let half = half_between(&format!("{low:.1075}"), &format!("{high:.1075}"));
            check(&half);
            check(&format!("{half}0000001"));
            check(&format!("{half}{}1", "0".repeat(5000)));
        }
    }

    /// Half the sum of two decimal numbers with as many digits behind the point.
    fn half_between(low: &str, high: &str) -> String {
        let width = low.len().max(high.len());
        let digits = |text: &str| format!("{text:0>width$}").into_bytes();
        let (low, high) = (digits(low), digits(high));
        let mut sum = vec![0; width];
        let mut carry = 0;
        for at in (0..width).rev().filter(|at| low[*at] != b'.') {
            let digit = low[at] - b'0' + high[at] - b'0' + carry;
            (sum[at], carry) = (digit % 10, digit / 10);
        }
        let (mut text, mut rest) = (String::new(), carry);
        for at in 0..width {
            if low[at] == b'.' {
                text.push('.');
                continue;
            }
            let value = rest * 10 + sum[at];
            text.push(char::from(b'0' + value / 2));
            rest = value % 2;
        }
        text + if rest == 1 { "5" } else { "" }
    }

    proptest! {
        #[test]
        fn every_float_is_read_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            if value.is_finite() {
                check(&format!("{value:e}"));
                check(&format!("{value}"));
                check(&format!("{value:.25e}"));
            }
        }

        #[test]
        fn any_digits(text in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?") {
            check(&text);
        }
    }
}
