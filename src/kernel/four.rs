//! Four values of f32 side by side: for loops over deltas, of which LLVM makes no vectors by itself when it compiles for size.
//!
//! Every operation is the same for each of the four as alone, so nothing depends on which values stand together.

/// Four values.
#[derive(Clone, Copy)]
pub struct Four(Lanes);

/// For each of four values all bits, or none.
#[derive(Clone, Copy)]
pub struct Mask(Bits);

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use portable::{Bits, Counts, Lanes};
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use wasm::{Bits, Counts, Lanes};

/// Four counters.
#[derive(Clone, Copy)]
pub struct Count(Counts);

/// How many there are.
pub const FOUR: usize = 4;

/// Values in fours, and what is left at the end.
pub fn fours(values: &[f32]) -> (&[[f32; FOUR]], &[f32]) {
    values.as_chunks()
}

/// Have `each` make all values anew, four at a time; beyond the last it sees zeros.
#[inline(always)]
pub fn each_four(values: &mut [f32], mut each: impl FnMut(Four) -> Four) {
    let (fours, rest) = values.as_chunks_mut::<FOUR>();
    for four in fours {
        each(Four::load(four)).store(four);
    }
    if !rest.is_empty() {
        let mut four = padded(rest);
        each(Four::load(&four)).store(&mut four);
        rest.iter_mut().zip(four).for_each(|(to, from)| *to = from);
    }
}

/// Fewer than four values, and zeros.
pub fn padded(values: &[f32]) -> [f32; FOUR] {
    let mut four = [0.0; FOUR];
    four.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
    four
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use super::{Count, FOUR, Four, Mask};
    use core::arch::wasm32::*;

    pub(super) type Lanes = v128;
    pub(super) type Bits = v128;
    pub(super) type Counts = v128;

    impl Four {
        /// These.
        #[inline(always)]
        pub fn load(values: &[f32; FOUR]) -> Four {
            // SAFETY: four f32 are a vector, and this load asks for no alignment.
            Four(unsafe { v128_load(values.as_ptr().cast()) })
        }

        /// Write them.
        #[inline(always)]
        pub fn store(self, values: &mut [f32; FOUR]) {
            // SAFETY: four f32 are a vector, and this store asks for no alignment.
            unsafe { v128_store(values.as_mut_ptr().cast(), self.0) };
        }

        /// Four times the same.
        #[inline(always)]
        pub fn splat(value: f32) -> Four {
            Four(f32x4_splat(value))
        }

        /// The sums.
        #[inline(always)]
        pub fn plus(self, other: Four) -> Four {
            Four(f32x4_add(self.0, other.0))
        }

        /// The products.
        #[inline(always)]
        pub fn times(self, other: Four) -> Four {
            Four(f32x4_mul(self.0, other.0))
        }

        /// The quotients.
        #[inline(always)]
        pub fn over(self, other: Four) -> Four {
            Four(f32x4_div(self.0, other.0))
        }

        /// Which are above 0.
        #[inline(always)]
        pub fn positive(self) -> Mask {
            Mask(f32x4_gt(self.0, f32x4_splat(0.0)))
        }

        /// Which are above 0, or NaN.
        #[inline(always)]
        pub fn positive_or_nan(self) -> Mask {
            Mask(v128_not(f32x4_le(self.0, f32x4_splat(0.0))))
        }

        /// Which are 0, or −0.
        #[inline(always)]
        pub fn zero(self) -> Mask {
            Mask(f32x4_eq(self.0, f32x4_splat(0.0)))
        }

        /// Which have bits without the sign above `key`, as signed integers.
        #[inline(always)]
        pub fn key_above(self, key: i32) -> Mask {
            Mask(i32x4_gt(v128_and(self.0, i32x4_splat(0x7FFF_FFFF)), i32x4_splat(key)))
        }

        /// Which of four random numbers are `last` at most.
        #[inline(always)]
        pub fn drawn(numbers: &[u32; FOUR], last: u32) -> Mask {
            // SAFETY: four u32 are a vector, and this load asks for no alignment.
            let numbers = unsafe { v128_load(numbers.as_ptr().cast()) };
            Mask(u32x4_le(numbers, u32x4_splat(last)))
        }

        /// Those of the mask; zeros elsewhere.
        #[inline(always)]
        pub fn only(self, mask: Mask) -> Four {
            Four(v128_and(self.0, mask.0))
        }

        /// Those of the mask, and those of `other` elsewhere.
        #[inline(always)]
        pub fn or(self, mask: Mask, other: Four) -> Four {
            Four(v128_bitselect(self.0, other.0, mask.0))
        }
    }

    impl Mask {
        /// The others.
        #[inline(always)]
        pub fn others(self) -> Mask {
            Mask(v128_not(self.0))
        }

        /// Those of both.
        #[inline(always)]
        pub fn and(self, other: Mask) -> Mask {
            Mask(v128_and(self.0, other.0))
        }

        /// Those of either.
        #[inline(always)]
        pub fn or(self, other: Mask) -> Mask {
            Mask(v128_or(self.0, other.0))
        }

        /// Whether there are any.
        #[inline(always)]
        pub fn any(self) -> bool {
            v128_any_true(self.0)
        }
    }

    impl Count {
        /// Nothing is counted.
        #[inline(always)]
        pub fn none() -> Count {
            Count(i32x4_splat(0))
        }

        /// One more for each of the mask.
        #[inline(always)]
        pub fn with(self, mask: Mask) -> Count {
            Count(i32x4_sub(self.0, mask.0))
        }

        /// All four together.
        #[inline(always)]
        pub fn total(self) -> u64 {
            let pair = u64x2_add(u64x2_extend_low_u32x4(self.0), u64x2_extend_high_u32x4(self.0));
            u64x2_extract_lane::<0>(pair) + u64x2_extract_lane::<1>(pair)
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable {
    use std::array::from_fn;

    use super::{Count, FOUR, Four, Mask};

    pub(super) type Lanes = [f32; FOUR];
    pub(super) type Bits = [bool; FOUR];
    pub(super) type Counts = [u32; FOUR];

    impl Four {
        /// These.
        #[inline(always)]
        pub fn load(values: &[f32; FOUR]) -> Four {
            Four(*values)
        }

        /// Write them.
        #[inline(always)]
        pub fn store(self, values: &mut [f32; FOUR]) {
            *values = self.0;
        }

        /// Four times the same.
        #[inline(always)]
        pub fn splat(value: f32) -> Four {
            Four([value; FOUR])
        }

        /// The sums.
        #[inline(always)]
        pub fn plus(self, other: Four) -> Four {
            Four(from_fn(|at| self.0[at] + other.0[at]))
        }

        /// The products.
        #[inline(always)]
        pub fn times(self, other: Four) -> Four {
            Four(from_fn(|at| self.0[at] * other.0[at]))
        }

        /// The quotients.
        #[inline(always)]
        pub fn over(self, other: Four) -> Four {
            Four(from_fn(|at| self.0[at] / other.0[at]))
        }

        /// Which are above 0.
        #[inline(always)]
        pub fn positive(self) -> Mask {
            Mask(from_fn(|at| self.0[at] > 0.0))
        }

        /// Which are above 0, or NaN.
        #[inline(always)]
        pub fn positive_or_nan(self) -> Mask {
            Mask(from_fn(|at| self.0[at] > 0.0 || self.0[at].is_nan()))
        }

        /// Which are 0, or −0.
        #[inline(always)]
        pub fn zero(self) -> Mask {
            Mask(from_fn(|at| self.0[at] == 0.0))
        }

        /// Which have bits without the sign above `key`, as signed integers.
        #[inline(always)]
        pub fn key_above(self, key: i32) -> Mask {
            Mask(from_fn(|at| (self.0[at].to_bits() & 0x7FFF_FFFF) as i32 > key))
        }

        /// Which of four random numbers are `last` at most.
        #[inline(always)]
        pub fn drawn(numbers: &[u32; FOUR], last: u32) -> Mask {
            Mask(from_fn(|at| numbers[at] <= last))
        }

        /// Those of the mask; zeros elsewhere.
        #[inline(always)]
        pub fn only(self, mask: Mask) -> Four {
            self.or(mask, Four::splat(0.0))
        }

        /// Those of the mask, and those of `other` elsewhere.
        #[inline(always)]
        pub fn or(self, mask: Mask, other: Four) -> Four {
            Four(from_fn(|at| if mask.0[at] { self.0[at] } else { other.0[at] }))
        }
    }

    impl Mask {
        /// The others.
        #[inline(always)]
        pub fn others(self) -> Mask {
            Mask(self.0.map(|is| !is))
        }

        /// Those of both.
        #[inline(always)]
        pub fn and(self, other: Mask) -> Mask {
            Mask(from_fn(|at| self.0[at] && other.0[at]))
        }

        /// Those of either.
        #[inline(always)]
        pub fn or(self, other: Mask) -> Mask {
            Mask(from_fn(|at| self.0[at] || other.0[at]))
        }

        /// Whether there are any.
        #[inline(always)]
        pub fn any(self) -> bool {
            self.0.contains(&true)
        }
    }

    impl Count {
        /// Nothing is counted.
        #[inline(always)]
        pub fn none() -> Count {
            Count([0; FOUR])
        }

        /// One more for each of the mask.
        #[inline(always)]
        pub fn with(self, mask: Mask) -> Count {
            Count(from_fn(|at| self.0[at].wrapping_add(u32::from(mask.0[at]))))
        }

        /// All four together.
        #[inline(always)]
        pub fn total(self) -> u64 {
            self.0.iter().map(|&count| u64::from(count)).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn values(four: Four) -> [f32; FOUR] {
        let mut values = [0.0; FOUR];
        four.store(&mut values);
        values
    }

    #[test]
    fn each_of_four_is_as_it_is_alone() {
        let (a, b) = (Four::load(&[1.5, -2.0, -0.0, f32::NAN]), Four::load(&padded(&[0.25, -7.0])));
        assert_eq!(values(b), [0.25, -7.0, 0.0, 0.0]);
        assert_eq!(values(a.plus(b))[..3], [1.75, -9.0, 0.0]);
        assert_eq!(values(a.times(b))[..2], [0.375, 14.0]);
        assert_eq!(values(b.over(a))[..2], [0.25 / 1.5, 3.5]);
        let count = |mask: Mask| Count::none().with(mask).total();
        assert_eq!([a.positive(), a.positive_or_nan(), a.zero(), a.zero().others()].map(count), [1, 2, 1, 3]);
        assert_eq!(count(a.positive_or_nan().and(a.positive().others())), 1);
        assert_eq!(count(a.positive().or(a.zero())), 2);
        assert!(a.zero().any() && !Four::splat(1.0).zero().any());
        assert_eq!(Count::none().with(a.zero()).with(a.positive()).with(a.zero()).total(), 3);
        let drawn = |last: u32| count(Four::drawn(&[0, 7, 1 << 31, u32::MAX], last));
        assert_eq!([0, 6, 7, 1 << 31, u32::MAX - 1, u32::MAX].map(drawn), [1, 1, 2, 3, 3, 4]);
        let key = |value: f32| value.to_bits() as i32;
        let above = [-1, key(1.5), key(1.9), key(2.0), i32::MAX].map(|key| count(a.key_above(key)));
        assert_eq!(above, [4, 2, 2, 1, 0]);
        assert_eq!(values(a.only(a.positive())), [1.5, 0.0, 0.0, 0.0]);
        assert_eq!(values(Four::splat(3.0).or(a.zero(), b)), [0.25, -7.0, 3.0, 0.0]);
    }

    #[test]
    fn every_value_is_made_anew() {
        for count in 0..11 {
            let mut all: Vec<f32> = (0..count).map(|value| value as f32).collect();
            assert_eq!(fours(&all).0.len() * FOUR + fours(&all).1.len(), count);
            each_four(&mut all, |four| four.plus(Four::splat(1.0)));
            assert_eq!(all, (1..=count).map(|value| value as f32).collect::<Vec<_>>());
        }
    }
}
