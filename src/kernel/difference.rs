//! The difference of two weights, decoded and subtracted in one pass.

use std::marker::PhantomData;

use super::element::{Bf16, Element, F16, F32};
use super::isa::{Body, Isa, Work, on_this_cpu};
use super::real::{bytes_of, decode};
use super::thin::THIN;
use super::vector::Vector;
use crate::tensor::Float;

/// [`subtract`] in f64.
///
/// # Panics
/// If the bytes are not as many elements.
pub(super) fn subtract_f64(tuned: (Float, &[u8]), base: (Float, &[u8]), out: &mut [f64]) -> bool {
    let (mut others, mut finite) = ([0.0; 256], true);
    let sides = [tuned, base].map(|(float, bytes)| {
        assert_eq!(Some(bytes.len()), out.len().checked_mul(float.bytes()), "bytes of two weights");
        bytes.chunks(others.len() * float.bytes())
    });
    let [tuned_bytes, base_bytes] = sides;
    for ((out, tuned_bytes), base_bytes) in out.chunks_mut(others.len()).zip(tuned_bytes).zip(base_bytes) {
        tuned.0.read_all(tuned_bytes, out);
        base.0.read_all(base_bytes, &mut others);
        for (out, other) in out.iter_mut().zip(&others) {
            *out -= other;
            finite &= out.is_finite();
        }
    }
    finite
}

/// Writes `tuned` − `base` to `out`. Each is an element type of at most 32 bits and elements of it, as many as `out` has. The difference is rounded
/// once, to f32. Returns whether all are finite.
///
/// # Panics
/// If the bytes are not so many elements, or are f64.
pub(super) fn subtract((tuned_is, tuned): (Float, &[u8]), (base_is, base): (Float, &[u8]), out: &mut [f32]) -> bool {
    match (tuned_is, base_is) {
        (Float::F16, Float::F16) => on_this_cpu(Subtract::<F16>::of(tuned, base, out)),
        (Float::Bf16, Float::Bf16) => on_this_cpu(Subtract::<Bf16>::of(tuned, base, out)),
        (Float::F32, Float::F32) => on_this_cpu(Subtract::<F32>::of(tuned, base, out)),
        _ => {
            assert!(tuned_is != Float::F64 && base_is != Float::F64, "an f64 is not exact in f32");
            let [mut one, mut other] = [vec![0.0f32; out.len()], vec![0.0f32; out.len()]];
            decode(tuned_is, tuned, &mut one);
            decode(base_is, base, &mut other);
            on_this_cpu(Subtract::<F32>::of(bytes_of(&one), bytes_of(&other), out))
        }
    }
}

struct Subtract<'a, F> {
    tuned: &'a [u8],
    base: &'a [u8],
    out: &'a mut [f32],
    element: PhantomData<F>,
}

impl<'a, F: Element> Subtract<'a, F> {
    fn of(tuned: &'a [u8], base: &'a [u8], out: &'a mut [f32]) -> Subtract<'a, F> {
        Subtract { tuned, base, out, element: PhantomData }
    }
}

/// Elements that every instruction set's step divides.
const STEP: usize = 2 * THIN;

impl<F: Element> Work for Subtract<'_, F> {
    type Out = bool;

    fn by<I: Isa>(self) -> bool {
        let Subtract { tuned, base, out, .. } = self;
        let width = F::FLOAT.bytes();
        assert!(tuned.len() == out.len() * width && base.len() == tuned.len(), "bytes of two weights");
        let whole = out.len() / STEP * STEP;
        let pointers = |tuned: &[u8], base: &[u8], out: &mut [f32]| Pointers::<F> {
            tuned: tuned.as_ptr(),
            base: base.as_ptr(),
            count: out.len(),
            out: out.as_mut_ptr(),
            element: PhantomData,
        };
        let (out, rest) = out.split_at_mut(whole);
        let ((tuned, tuned_rest), (base, base_rest)) = (tuned.split_at(whole * width), base.split_at(whole * width));
        // SAFETY: `on_this_cpu` calls this for an instruction set that the CPU has; all three are `whole` elements, a multiple of any step.
        let mut magnitude = unsafe { I::run(pointers(tuned, base, out)) };
        if !rest.is_empty() {
            // What is left, and zeros behind it.
            let (mut bytes, mut values) = ([[0; STEP * 4]; 2], [0.0; STEP]);
            for (bytes, from) in bytes.iter_mut().zip([tuned_rest, base_rest]) {
                bytes.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
            let [tuned, base] = &bytes;
            // SAFETY: as above; each array has room for `STEP` elements of up to four bytes.
            let of_rest = unsafe { I::run(pointers(tuned, base, &mut values)) };
            magnitude = magnitude.max(of_rest);
            rest.iter_mut().zip(values).for_each(|(to, from)| *to = from);
        }
        magnitude < f32::INFINITY.to_bits()
    }
}

/// The same in pointers. Its result is the bits of the largest magnitude: infinity's or more if any is not finite.
struct Pointers<F> {
    tuned: *const u8,
    base: *const u8,
    count: usize,
    out: *mut f32,
    element: PhantomData<F>,
}

impl<F: Element> Body for Pointers<F> {
    type Out = u32;

    /// It asks that `count` is a multiple of [`STEP`], and that the pointers cover so many elements.
    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> u32 {
        let Pointers { mut tuned, mut base, count, mut out, .. } = self;
        // SAFETY: the CPU has the instruction set. Each turn takes two vectors of each; `count` elements are a whole number of turns. The array has
        // room for the longest vector.
        unsafe {
            let (sign, step) = (V::splat_bits(0x7FFF_FFFF), 2 * V::LANES);
            let mut largest = V::splat_bits(0);
            for _ in 0..count / step {
                let (ones, others) = (F::load::<V>(tuned), F::load::<V>(base));
                let (low, high) = (ones[0].sub(others[0]), ones[1].sub(others[1]));
                // Infinities and NaNs are the largest of all, as bits.
                largest = largest.max_bits(low.and(sign)).max_bits(high.and(sign));
                low.store(out);
                high.store(out.add(V::LANES));
                tuned = tuned.add(step * F::FLOAT.bytes());
                base = base.add(step * F::FLOAT.bytes());
                out = out.add(step);
            }
            let mut lanes = [0.0f32; THIN];
            largest.store(lanes.as_mut_ptr());
            lanes.iter().fold(0, |largest, lane| largest.max(lane.to_bits()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Real;
    use crate::kernel::isa::by_each;
    use crate::kernel::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn differences_are_rounded_once_by_every_instruction_set() {
        let mut random = Random(43);
        let floats = [Float::F16, Float::Bf16, Float::F32];
        for count in [0, 1, 7, 16, 17, 53] {
            let mut bytes = |float: Float| {
                let mut bytes = vec![0; count * float.bytes()];
                bytes.chunks_mut(float.bytes()).for_each(|bytes| float.write(random.weight(), bytes));
                bytes
            };
            for (tuned_is, base_is) in floats.into_iter().flat_map(|one| floats.map(|other| (one, other))) {
                let (tuned, base) = (bytes(tuned_is), bytes(base_is));
                let mut exact = vec![0.0; count];
                assert!(f64::subtract((tuned_is, &tuned), (base_is, &base), &mut exact));
                let (ones, others) = (tuned.chunks_exact(tuned_is.bytes()), base.chunks_exact(base_is.bytes()));
                for ((one, other), exact) in ones.zip(others).zip(&exact) {
                    assert_eq!(exact.to_bits(), (tuned_is.read(one) - base_is.read(other)).to_bits());
                }
                let mut found = vec![0.0f32; count];
                assert!(f32::subtract((tuned_is, &tuned), (base_is, &base), &mut found));
                let same = found.iter().zip(&exact).all(|(found, exact)| found.to_bits() == (*exact as f32).to_bits());
                assert!(same, "{count} of {tuned_is:?} and {base_is:?}");
            }
            let (tuned, base) = (bytes(Float::Bf16), bytes(Float::Bf16));
            let mut out = vec![0.0f32; count];
            let mut first: Option<Vec<u32>> = None;
            by_each!(Subtract::<Bf16>::of(&tuned, &base, &mut out), |finite: bool| {
                assert!(finite);
                let bits: Vec<u32> = out.iter().map(|value| value.to_bits()).collect();
                assert_eq!(first.get_or_insert_with(|| bits.clone()), &bits);
                out.fill(7.0);
            });
        }
    }

    #[test]
    fn a_difference_that_is_not_finite_is_seen_wherever_it_is() {
        for (count, at) in [(1, 0), (16, 15), (40, 3), (40, 39)] {
            for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let (mut tuned, base) = (vec![1.0f32; count], vec![0.5f32; count]);
                tuned[at] = value;
                let bytes = [bytes_of(&tuned), bytes_of(&base)];
                let mut out = vec![0.0; count];
                by_each!(Subtract::<F32>::of(bytes[0], bytes[1], &mut out), |finite: bool| assert!(!finite));
                let mut out = vec![0.0; count];
                assert!(!f64::subtract((Float::F32, bytes[0]), (Float::F32, bytes[1]), &mut out));
            }
        }
        // The largest of two is beyond f32.
        let (tuned, base) = ([f32::MAX], [f32::MIN]);
        assert!(!f32::subtract((Float::F32, bytes_of(&tuned)), (Float::F32, bytes_of(&base)), &mut [0.0]));
    }
}
