//! W + D for a run of elements, with a D that is known already: decoded, added, rounded and encoded in one pass, to nearest or by random numbers.

use std::marker::PhantomData;

use super::element::{Bf16, Element, F16, F32};
use super::fold::NonFinite;
use super::isa::{self, Body};
use super::vector::Vector;
use crate::tensor::{Float, write_stochastic};

/// Where the bytes of W are, and where those of the result go.
pub enum Bytes<'a> {
    /// One in place of the other: the type stays.
    InPlace(&'a mut [u8]),
    /// From the first to the second.
    Into(&'a [u8], &'a mut [u8]),
}

/// How a run is rounded.
#[derive(Clone, Copy)]
pub enum Rounded<'a> {
    /// To nearest, ties to even.
    Nearest,
    /// By the random number of each element, as many as there are; and what they are made of: the run's first element and the key.
    Randomly(&'a [u32], u64, u64),
}

/// Adds `deltas` to as many elements, from type `from` to type `to`, neither of which is f64: the sum in f32, rounded once.
///
/// # Errors
/// [`NonFinite`], with its number in the run, if a finite element became infinite or NaN. All are computed in any case.
///
/// # Panics
/// If there are not as many bytes, or random numbers, as deltas.
pub fn add_rounded(
    deltas: &[f32],
    from: Float,
    to: Float,
    mut bytes: Bytes,
    rounded: Rounded,
) -> Result<(), NonFinite> {
    let count = deltas.len();
    let (base, out) = match &mut bytes {
        Bytes::InPlace(bytes) => {
            assert!(from == to && bytes.len() == count * to.bytes(), "{count} deltas of {} bytes", bytes.len());
            let out = bytes.as_mut_ptr();
            (out.cast_const(), out)
        }
        Bytes::Into(base, out) => {
            let lengths = [base.len(), out.len()];
            assert_eq!(lengths, [count * from.bytes(), count * to.bytes()], "bytes of {count} deltas");
            (base.as_ptr(), out.as_mut_ptr())
        }
    };
    let random = match rounded {
        Rounded::Nearest => None,
        Rounded::Randomly(numbers, ..) => {
            assert_eq!(numbers.len(), count, "random numbers");
            Some(numbers)
        }
    };
    let mut left = Ok(());
    let mut at = 0;
    while at < count {
        let row = Row {
            base: base.wrapping_add(at * from.bytes()),
            deltas: &deltas[at..],
            random: random.map_or(&[], |random| &random[at..]),
            out: out.wrapping_add(at * to.bytes()),
        };
        // SAFETY: both pointers have as many elements behind them as there are deltas left, which the lengths above say; they are the same, or do
        // not overlap, as one of the slices is borrowed mutably.
        at += unsafe { add_whole(row, from, to, random.is_some()) };
        let end = count.min(at + TOGETHER);
        while at < end {
            // SAFETY: the element is one of the run's.
            let lost = unsafe { add_one(at, deltas[at], (from, base), (to, out), rounded) };
            if lost && left.is_ok() {
                left = Err(NonFinite { element: at as u64 });
            }
            at += 1;
        }
    }
    left
}

/// Elements that are folded one by one where a vector holds something unusual: about two vectors.
const TOGETHER: usize = 8;

/// One element; whether it was finite and is not any more.
///
/// # Safety
/// It is one of those behind both pointers.
#[cold]
unsafe fn add_one(
    at: usize,
    delta: f32,
    (from, base): (Float, *const u8),
    (to, out): (Float, *mut u8),
    rounded: Rounded,
) -> bool {
    let mut bytes = [0; 8];
    // SAFETY: the element is behind `base`, and `bytes` has room for the longest.
    unsafe { base.add(at * from.bytes()).copy_to_nonoverlapping(bytes.as_mut_ptr(), from.bytes()) };
    let base = from.read(&bytes) as f32;
    let sum = base + delta;
    match rounded {
        Rounded::Nearest => to.write(sum.into(), &mut bytes),
        Rounded::Randomly(_, first, key) => {
            write_stochastic(&[sum], first + at as u64, key, to, &mut bytes[..to.bytes()]);
        }
    }
    // SAFETY: the element is behind `out`.
    unsafe { out.add(at * to.bytes()).copy_from_nonoverlapping(bytes.as_ptr(), to.bytes()) };
    base.is_finite() && !to.read(&bytes).is_finite()
}

/// Where magnitudes are below `least`, but not 0.
#[inline(always)]
fn between<V: Vector>(magnitudes: V, least: u32) -> V {
    magnitudes.constant(least).gt_bits(magnitudes).and(magnitudes.gt_bits(magnitudes.constant(0)))
}

/// What is left of a run.
struct Row<'a> {
    base: *const u8,
    deltas: &'a [f32],
    random: &'a [u32],
    out: *mut u8,
}

/// [`Add`] for the types.
///
/// # Safety
/// As there.
unsafe fn add_whole(row: Row, from: Float, to: Float, randomly: bool) -> usize {
    // SAFETY: the caller keeps the same promises.
    unsafe {
        match from {
            Float::F16 => add_from::<F16>(row, to, randomly),
            Float::Bf16 => add_from::<Bf16>(row, to, randomly),
            Float::F32 => add_from::<F32>(row, to, randomly),
            Float::F64 => 0,
        }
    }
}

/// The same from type `F`: a function of its own for each, so that the loops stay apart.
///
/// # Safety
/// As there.
#[inline(never)]
unsafe fn add_from<F: Element>(row: Row, to: Float, randomly: bool) -> usize {
    // SAFETY: the caller keeps the same promises.
    unsafe {
        match (to, randomly) {
            (Float::F16, false) => isa::run(Add::<F, F16, false>(row, PhantomData)),
            (Float::F16, true) => isa::run(Add::<F, F16, true>(row, PhantomData)),
            (Float::Bf16, false) => isa::run(Add::<F, Bf16, false>(row, PhantomData)),
            (Float::Bf16, true) => isa::run(Add::<F, Bf16, true>(row, PhantomData)),
            (Float::F32, _) => isa::run(Add::<F, F32, false>(row, PhantomData)),
            (Float::F64, _) => 0,
        }
    }
}

/// Adds whole vectors up to, not including, the first that holds a value which rounding cannot take as it comes. Gives how many elements these are.
///
/// It asks that as many elements as there are deltas are behind both pointers, which are the same or do not overlap, and as many random numbers
/// where it rounds by them.
struct Add<'a, F, T, const RANDOMLY: bool>(Row<'a>, PhantomData<(F, T)>);

impl<F: Element, T: Element, const RANDOMLY: bool> Body for Add<'_, F, T, RANDOMLY> {
    type Out = usize;

    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> usize {
        let Row { mut base, deltas, random, mut out } = self.0;
        let width = 2 * V::LANES;
        let (mut delta, mut number) = (deltas.as_ptr(), random.as_ptr().cast::<f32>());
        let mut turns = deltas.len() / width;
        let count = turns;
        // SAFETY: the CPU has the instruction set. All pointers go on by the elements of a turn, of which there are no more than whole ones.
        unsafe {
            let [least, most] = if RANDOMLY { T::RANDOMLY } else { [0, T::OVERFLOW - 1] };
            let (most, size) = (V::splat_bits(most), V::splat_bits(0x7FFF_FFFF));
            while turns > 0 {
                let [low, high] = F::load::<V>(base);
                let (low, high) = (low.add(V::load(delta)), high.add(V::load(delta.add(V::LANES))));
                let sizes = (low.and(size), high.and(size));
                // Infinities and NaNs are large too, as bits.
                let mut unusual = sizes.0.max_bits(sizes.1).gt_bits(most);
                if least > 0 {
                    unusual = unusual.or(between(sizes.0, least)).or(between(sizes.1, least));
                }
                if unusual.any() {
                    break;
                }
                let codes = if RANDOMLY {
                    let numbers = (V::load(number), V::load(number.add(V::LANES)));
                    number = number.add(width);
                    [T::encode_randomly(low, numbers.0), T::encode_randomly(high, numbers.1)]
                } else {
                    [T::encode(low), T::encode(high)]
                };
                T::store(codes, out);
                base = base.add(width * F::FLOAT.bytes());
                out = out.add(width * T::FLOAT.bytes());
                delta = delta.add(width);
                turns -= 1;
            }
        }
        (count - turns) * width
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::isa::Isa;
    use crate::kernel::random_numbers;
    use crate::kernel::tests::Random;
    use crate::tensor::tests::critical_f32s;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TYPES: [Float; 3] = [Float::F16, Float::Bf16, Float::F32];
    const KEY: u64 = 0x0123_4567_89ab_cdef;

    /// Weights and deltas of every magnitude: ordinary ones in long runs, and what is unusual between them.
    fn values(random: &mut Random, from: Float, count: usize) -> (Vec<u8>, Vec<f32>) {
        let critical: Vec<f32> = critical_f32s().step_by(7).collect();
        let mut base = vec![0; count * from.bytes()];
        let mut deltas = Vec::new();
        for (at, bytes) in base.chunks_exact_mut(from.bytes()).enumerate() {
            let unusual = at / 40 % 3 == 2;
            let mut pick = |scale: f64| match unusual {
                true => f64::from(critical[random.below(critical.len())]),
                false => random.weight() * scale,
            };
            from.write(pick(1.0), bytes);
            deltas.push(if at % 7 == 3 { -from.read(bytes) as f32 } else { pick(0.01) as f32 });
        }
        (base, deltas)
    }

    /// The definition, one by one.
    fn expected(base: &[u8], deltas: &[f32], from: Float, to: Float, first: Option<u64>) -> (Vec<u8>, Option<u64>) {
        let (mut out, mut left) = (Vec::new(), None);
        for (at, (bytes, delta)) in base.chunks_exact(from.bytes()).zip(deltas).enumerate() {
            let (base, mut bytes) = (from.read(bytes) as f32, [0; 8]);
            match first {
                None => to.write((base + delta).into(), &mut bytes),
                Some(first) => {
                    write_stochastic(&[base + delta], first + at as u64, KEY, to, &mut bytes[..to.bytes()]);
                }
            }
            if base.is_finite() && !to.read(&bytes).is_finite() {
                left = left.or(Some(at as u64));
            }
            out.extend_from_slice(&bytes[..to.bytes()]);
        }
        (out, left)
    }

    #[test]
    fn a_run_is_what_its_elements_are_one_by_one() {
        let mut random = Random(11);
        for from in TYPES {
            for to in TYPES {
                for (count, first) in [(0, 0), (1, 3), (15, 1), (16, 4), (333, (1 << 34) - 50), (1200, 7)] {
                    let (base, deltas) = values(&mut random, from, count);
                    let mut numbers = vec![0; count];
                    random_numbers(first, KEY, &mut numbers);
                    for randomly in [false, true] {
                        let rounded = if randomly { Rounded::Randomly(&numbers, first, KEY) } else { Rounded::Nearest };
                        let (wanted, left) = expected(&base, &deltas, from, to, randomly.then_some(first));
                        let mut out = vec![0xAA; wanted.len()];
                        let result = add_rounded(&deltas, from, to, Bytes::Into(&base, &mut out), rounded);
                        assert!(out == wanted, "{from:?} to {to:?}, {count}, {randomly}");
                        assert_eq!(result.err().map(|lost| lost.element), left);
                        if from == to {
                            let mut bytes = base.clone();
                            add_rounded(&deltas, from, to, Bytes::InPlace(&mut bytes), rounded).ok();
                            assert!(bytes == wanted, "{from:?} in place");
                        }
                    }
                }
            }
        }
    }

    /// Every instruction set gives the bits of plain Rust, and takes long runs as a whole.
    fn battery<I: Isa>() {
        let mut random = Random(5);
        let (base, deltas) = values(&mut random, Float::Bf16, 80);
        let mut numbers = vec![0; 80];
        random_numbers(0, KEY, &mut numbers);
        let run = |randomly: bool| {
            let mut out = vec![0; 160];
            let row = Row { base: base.as_ptr(), deltas: &deltas, random: &numbers, out: out.as_mut_ptr() };
            // SAFETY: base and output have 80 elements; the caller has looked whether the CPU has the instruction set.
            let done = unsafe {
                match randomly {
                    true => I::run(Add::<Bf16, Bf16, true>(row, PhantomData)),
                    false => I::run(Add::<Bf16, Bf16, false>(row, PhantomData)),
                }
            };
            assert_eq!(done, 80);
            out
        };
        assert!(run(false) == expected(&base, &deltas, Float::Bf16, Float::Bf16, None).0);
        assert!(run(true) == expected(&base, &deltas, Float::Bf16, Float::Bf16, Some(0)).0);
    }

    crate::kernel::isa::batteries!(battery);
}
