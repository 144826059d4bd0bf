//! Two values of f64 side by side: for loops over deltas in f64, of which LLVM makes no vectors by itself when it compiles for size.
//!
//! Every operation is the same for both as alone, so nothing depends on which values stand together.

/// Two values.
#[derive(Clone, Copy)]
pub struct Two(Lanes);

/// How many there are.
pub const TWO: usize = 2;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use portable::Lanes;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use wasm::Lanes;

/// Have `each` make all values anew, two at a time, each from what it was and from the value beside it; beyond the last it sees zeros.
///
/// # Panics
/// If there are not as many of both.
#[inline(always)]
pub fn each_two(values: &mut [f64], beside: &[f64], mut each: impl FnMut(Two, Two) -> Two) {
    assert_eq!(values.len(), beside.len(), "values side by side");
    let ((twos, tail), (others, rest)) = (values.as_chunks_mut::<TWO>(), beside.as_chunks::<TWO>());
    for (two, other) in twos.iter_mut().zip(others) {
        each(Two::load(two), Two::load(other)).store(two);
    }
    if let ([value], &[other]) = (tail, rest) {
        let mut two = [*value, 0.0];
        each(Two::load(&two), Two::load(&[other, 0.0])).store(&mut two);
        [*value, _] = two;
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use super::{TWO, Two};
    use core::arch::wasm32::*;

    pub(super) type Lanes = v128;

    impl Two {
        /// These.
        #[inline(always)]
        pub fn load(values: &[f64; TWO]) -> Two {
            // SAFETY: two f64 are a vector, and this load asks for no alignment.
            Two(unsafe { v128_load(values.as_ptr().cast()) })
        }

        /// Write them.
        #[inline(always)]
        pub fn store(self, values: &mut [f64; TWO]) {
            // SAFETY: two f64 are a vector, and this store asks for no alignment.
            unsafe { v128_store(values.as_mut_ptr().cast(), self.0) };
        }

        /// Twice the same.
        #[inline(always)]
        pub fn splat(value: f64) -> Two {
            Two(f64x2_splat(value))
        }

        /// The sums.
        #[inline(always)]
        pub fn plus(self, other: Two) -> Two {
            Two(f64x2_add(self.0, other.0))
        }

        /// The products.
        #[inline(always)]
        pub fn times(self, other: Two) -> Two {
            Two(f64x2_mul(self.0, other.0))
        }

        /// The nearest values of f32.
        #[inline(always)]
        pub fn rounded(self) -> Two {
            Two(f64x2_promote_low_f32x4(f32x4_demote_f64x2_zero(self.0)))
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable {
    use std::array::from_fn;

    use super::{TWO, Two};

    pub(super) type Lanes = [f64; TWO];

    impl Two {
        /// These.
        #[inline(always)]
        pub fn load(values: &[f64; TWO]) -> Two {
            Two(*values)
        }

        /// Write them.
        #[inline(always)]
        pub fn store(self, values: &mut [f64; TWO]) {
            *values = self.0;
        }

        /// Twice the same.
        #[inline(always)]
        pub fn splat(value: f64) -> Two {
            Two([value; TWO])
        }

        /// The sums.
        #[inline(always)]
        pub fn plus(self, other: Two) -> Two {
            Two(from_fn(|at| self.0[at] + other.0[at]))
        }

        /// The products.
        #[inline(always)]
        pub fn times(self, other: Two) -> Two {
            Two(from_fn(|at| self.0[at] * other.0[at]))
        }

        /// The nearest values of f32.
        #[inline(always)]
        pub fn rounded(self) -> Two {
            Two(self.0.map(|value| f64::from(value as f32)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn each_is_computed_as_if_alone() {
        let mut random = Random(67);
        for count in [0, 1, 2, 5, 32] {
            let mut numbers = |count: usize| (0..count).map(|_| random.weight()).collect::<Vec<f64>>();
            let (values, beside) = (numbers(count), numbers(count));
            let check = |each: fn(Two, Two) -> Two, alone: fn(f64, f64) -> f64| {
                let mut found = values.clone();
                each_two(&mut found, &beside, each);
                for ((found, &value), &other) in found.iter().zip(&values).zip(&beside) {
                    assert_eq!(found.to_bits(), alone(value, other).to_bits());
                }
            };
            check(|value, other| value.plus(other), |value, other| value + other);
            check(|value, other| value.times(other), |value, other| value * other);
            check(|value, other| other.times(Two::splat(3.0)).plus(value), |value, other| other * 3.0 + value);
            check(|value, _| value.rounded(), |value, _| f64::from(value as f32));
        }
        let mut large = [1e300, f64::NAN];
        each_two(&mut large, &[0.0; 2], |value, _| value.rounded());
        assert!(large[0] == f64::INFINITY && large[1].is_nan());
    }
}
