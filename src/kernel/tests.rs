#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::fold::{fold_in_place_with, fold_into_with};
use super::isa::Kernel;
use super::*;
use crate::tensor::tests::critical_f32s;
use crate::tensor::{Float, bf16, f16};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const FLOATS: [Float; 4] = [Float::F16, Float::Bf16, Float::F32, Float::F64];

/// How often a test goes round: a few times under Miri, which looks at every access, but takes a thousand times as long.
const fn rounds(usual: usize) -> usize {
    if cfg!(miri) { 1 } else { usual }
}

/// Sides of a random tensor: enough for whole tiles and parts of them under Miri.
const SIDE: usize = if cfg!(miri) { 14 } else { 40 };

/// Deterministic random numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 32) as u32
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.bits() as usize % limit
    }

    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.bits()) / 2.0f64.powi(31) - 1.0
    }

    /// Of many magnitudes, subnormal f16 included.
    pub(crate) fn weight(&mut self) -> f64 {
        let exponent = self.below(30) as i32 - 26;
        self.unit() * 2.0f64.powi(exponent)
    }
}

fn encode(float: Float, values: &[f64]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * float.bytes()];
    for (value, bytes) in values.iter().zip(bytes.chunks_exact_mut(float.bytes())) {
        float.write(*value, bytes);
    }
    bytes
}

fn decode(float: Float, bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(float.bytes()).map(|bytes| float.read(bytes)).collect()
}

/// A tensor and its factors, also unpacked.
struct Case {
    rows: usize,
    cols: usize,
    rank: usize,
    left: Vec<f32>,
    right: Vec<f32>,
    factors: Factors,
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

impl Case {
    fn new(random: &mut Random, rows: usize, cols: usize, rank: usize) -> Case {
        let left: Vec<f32> = (0..rows * rank).map(|_| random.unit() as f32).collect();
        let right: Vec<f32> = (0..rank * cols).map(|_| random.unit() as f32 * 0.01).collect();
        Case::from(rows, cols, rank, left, right)
    }

    fn from(rows: usize, cols: usize, rank: usize, left: Vec<f32>, right: Vec<f32>) -> Case {
        let mut factors = Factors::try_new(rows, cols, rank).unwrap();
        factors.pack_left(0, rank, FactorLayout::AsIs, &f32_bytes(&left), Float::F32, 1.0).unwrap();
        factors.pack_right(0, rank, FactorLayout::AsIs, &f32_bytes(&right), Float::F32, 1.0).unwrap();
        Case { rows, cols, rank, left, right, factors }
    }

    fn delta(&self, row: usize, col: usize) -> f32 {
        let mut delta = -0.0f32;
        for k in 0..self.rank {
            delta += self.left[row * self.rank + k] * self.right[k * self.cols + col];
        }
        delta
    }

    /// The definition, without tiles, vectors or panels.
    fn expect(&self, from: Float, base: &[u8], to: Float) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, base) in decode(from, base).into_iter().enumerate() {
            let delta = self.delta(index / self.cols, index % self.cols);
            let mut bytes = [0; 8];
            if from == Float::F64 {
                to.write(base + f64::from(delta), &mut bytes);
            } else {
                let sum = base as f32 + delta;
                match to {
                    Float::F16 => bytes[..2].copy_from_slice(&f16::encode(sum).to_le_bytes()),
                    Float::Bf16 => bytes[..2].copy_from_slice(&bf16::encode(sum).to_le_bytes()),
                    _ => to.write(sum.into(), &mut bytes),
                }
            }
            out.extend_from_slice(&bytes[..to.bytes()]);
        }
        out
    }

    fn fold(&self, kernel: &dyn Fn(Float, Float, bool) -> Kernel, from: Float, base: &[u8], to: Float) -> Vec<u8> {
        let mut out = vec![0xAA; self.rows * self.cols * to.bytes()];
        fold_into_with(kernel(from, to, false), &self.factors, 0, from, base, to, &mut out, None).ok();
        out
    }
}

/// The statistics, one element after the other in f64.
fn naive_statistics(case: &Case, from: Float, base: &[u8], to: Float, out: &[u8]) -> Statistics {
    let mut statistics = Statistics::default();
    let values = decode(from, base);
    let unmerged = encode(to, &values);
    for (index, (base, stored)) in values.into_iter().zip(decode(to, out)).enumerate() {
        let delta = case.delta(index / case.cols, index % case.cols);
        let d = f64::from(delta);
        statistics.elements += 1;
        let bytes = index * to.bytes()..(index + 1) * to.bytes();
        statistics.changed += u64::from(out[bytes.clone()] != unmerged[bytes]);
        statistics.delta_sq += d * d;
        statistics.base_sq += base * base;
        statistics.max_delta = statistics.max_delta.max(delta.abs());
        statistics.kept += (stored - base) * d;
    }
    statistics
}

fn assert_close(ours: Statistics, naive: Statistics) {
    let close = |ours: f64, naive: f64, scale: f64| assert!((ours - naive).abs() <= 1e-5 * scale, "{ours} for {naive}");
    assert_eq!((ours.elements, ours.changed, ours.max_delta), (naive.elements, naive.changed, naive.max_delta));
    close(ours.delta_sq, naive.delta_sq, naive.delta_sq);
    close(ours.base_sq, naive.base_sq, naive.base_sq);
    close(ours.kept, naive.kept, naive.kept.abs().max(naive.delta_sq));
}

/// The same tests for every instruction set.
macro_rules! battery {
    ($name:ident, $isa:ty, $available:expr) => {
        mod $name {
            use super::*;
            #[cfg(target_arch = "wasm32")]
            use wasm_bindgen_test::wasm_bindgen_test as test;

            #[test]
            fn folds_as_defined() {
                check($available, |kernel| folds_as_defined_with(kernel));
            }

            #[test]
            fn casts_every_critical_value() {
                check($available, |kernel| casts_every_critical_value_with(kernel));
            }

            #[test]
            fn ranges_do_not_show() {
                check($available, |kernel| ranges_do_not_show_with(kernel));
            }

            #[test]
            fn reports_the_first_non_finite_element() {
                check($available, |kernel| reports_the_first_non_finite_element_with(kernel));
            }

            #[test]
            fn counts_as_defined() {
                check($available, |kernel| counts_as_defined_with(kernel));
            }

            fn check(available: bool, test: impl Fn(&dyn Fn(Float, Float, bool) -> Kernel)) {
                if available {
                    test(&|from, to, statistics| Kernel::of::<$isa>(from, to, statistics));
                }
            }
        }
    };
}

battery!(scalar_battery, scalar::Scalar, true);
#[cfg(target_arch = "x86_64")]
battery!(sse2_battery, sse2::Sse2, true);
#[cfg(target_arch = "x86_64")]
battery!(avx2_battery, avx2::Avx2, std::arch::is_x86_feature_detected!("avx2"));
#[cfg(target_arch = "aarch64")]
battery!(neon_battery, aarch64::Neon, true);
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
battery!(simd128_battery, wasm32::Simd128, true);

type KernelOf<'a> = &'a dyn Fn(Float, Float, bool) -> Kernel;

fn folds_as_defined_with(kernel: KernelOf) {
    let mut random = Random(3);
    for round in 0..rounds(200) {
        let rank = if round % 20 == 10 { 64 } else { random.below(21) };
        let (rows, cols) = (1 + random.below(SIDE), 1 + random.below(SIDE));
        let case = Case::new(&mut random, rows, cols, rank);
        let weights: Vec<f64> = (0..rows * cols).map(|_| random.weight()).collect();
        for from in FLOATS {
            let base = encode(from, &weights);
            for to in FLOATS {
                let out = case.fold(kernel, from, &base, to);
                assert_eq!(out, case.expect(from, &base, to), "{from:?} to {to:?}, {rows} × {cols}, rank {rank}");
            }
        }
    }
}

/// Rank 0: every f16 and bf16, and every f32 about which rounding might err, infinities and NaNs among them.
fn casts_every_critical_value_with(kernel: KernelOf) {
    let mut random = Random(7);
    let values: Vec<f64> = if cfg!(miri) {
        (0..40).flat_map(|_| [f32::from_bits(random.bits()).into(), random.weight()]).collect()
    } else {
        critical_f32s().step_by(23).map(f64::from).chain([f64::MAX, 65520.0 - 1e-9]).collect()
    };
    let cols = values.len().div_ceil(8);
    for from in FLOATS {
        let mut base = encode(from, &values);
        base.resize(8 * cols * from.bytes(), 0);
        if from == Float::F32 {
            // Signalling NaNs and payloads that an encoder which adds before it looks would turn into zero.
            for (bytes, bits) in
                base.chunks_exact_mut(4).step_by(1001).zip([0x7FFF_FFFFu32, 0xFFFF_FFFF, 0x7F80_0001, 0x7F7F_FFFF])
            {
                bytes.copy_from_slice(&bits.to_le_bytes());
            }
        }
        let case = Case::from(8, cols, 0, vec![], vec![]);
        for to in FLOATS {
            assert_eq!(case.fold(kernel, from, &base, to), case.expect(from, &base, to), "{from:?} to {to:?}");
        }
    }
}

fn ranges_do_not_show_with(kernel: KernelOf) {
    let mut random = Random(5);
    for _ in 0..rounds(60) {
        let (rows, cols, rank) = (1 + random.below(SIDE), 1 + random.below(70), random.below(10));
        let case = Case::new(&mut random, rows, cols, rank);
        let weights: Vec<f64> = (0..rows * cols).map(|_| random.weight()).collect();
        for float in FLOATS {
            let base = encode(float, &weights);
            let whole = case.expect(float, &base, float);
            // One byte more, so that nothing is aligned.
            let mut bytes = [&[0], &base[..]].concat();
            let mut first = 0;
            while first < rows * cols {
                let count = random.below(rows * cols - first + 1);
                let part = &mut bytes[1 + first * float.bytes()..][..count * float.bytes()];
                fold_in_place_with(kernel(float, float, false), &case.factors, first as u64, float, part, None)
                    .unwrap();
                first += count;
            }
            assert!(bytes[1..] == whole, "{float:?}, {rows} × {cols}, rank {rank}");
        }
    }
}

fn reports_the_first_non_finite_element_with(kernel: KernelOf) {
    let mut random = Random(11);
    for (float, large) in [(Float::F16, 65504.0), (Float::Bf16, 3.3895e38), (Float::F32, 3.4028e38)] {
        for _ in 0..rounds(50) {
            let (rows, cols) = (1 + random.below(30), 1 + random.below(60));
            let left = vec![large as f32 / 100.0; rows];
            let case = Case::from(rows, cols, 1, left, vec![1.0; cols]);
            let mut weights = vec![1.0; rows * cols];
            let culprits = [random.below(rows * cols), random.below(rows * cols)];
            culprits.iter().for_each(|&culprit| weights[culprit] = large);
            let passing = random.below(rows * cols);
            weights[passing] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][random.below(3)];
            let base = encode(float, &weights);
            let first = culprits
                .iter()
                .copied()
                .filter(|&culprit| culprit != passing)
                .min()
                .map(|element| NonFinite { element: element as u64 });
            for statistics in [None, Some(&mut Statistics::default())] {
                let mut bytes = base.clone();
                let kernel = kernel(float, float, statistics.is_some());
                let result = fold_in_place_with(kernel, &case.factors, 0, float, &mut bytes, statistics);
                assert_eq!(result.err(), first);
                assert!(bytes == case.expect(float, &base, float), "the range is folded all the same");
            }
        }
    }
}

fn counts_as_defined_with(kernel: KernelOf) {
    let mut random = Random(13);
    for round in 0..rounds(40) {
        let (rows, cols, rank) =
            (1 + random.below(SIDE), 1 + random.below(SIDE) + (round % 2) * rounds(900), random.below(12));
        let case = Case::new(&mut random, rows, cols, rank);
        let weights: Vec<f64> = (0..rows * cols).map(|_| random.weight()).collect();
        for from in FLOATS {
            for to in FLOATS {
                let base = encode(from, &weights);
                let mut out = vec![0; rows * cols * to.bytes()];
                let mut statistics = Statistics::default();
                let kernel = kernel(from, to, true);
                fold_into_with(kernel, &case.factors, 0, from, &base, to, &mut out, Some(&mut statistics)).unwrap();
                assert!(out == case.expect(from, &base, to), "{from:?} to {to:?}, {rows} × {cols}, rank {rank}");
                assert_close(statistics, naive_statistics(&case, from, &base, to, &out));
            }
        }
    }
}

#[test]
fn the_public_functions_use_the_same_arithmetic() {
    let mut random = Random(17);
    let case = Case::new(&mut random, 37, 53, 9);
    let weights: Vec<f64> = (0..37 * 53).map(|_| random.weight()).collect();
    let base = encode(Float::Bf16, &weights);
    let mut out = vec![0; 37 * 53 * 2];
    fold_into(&case.factors, 0, Float::Bf16, &base, Float::F16, &mut out, None).unwrap();
    assert_eq!(out, case.expect(Float::Bf16, &base, Float::F16));
    let mut bytes = base.clone();
    fold_in_place(&case.factors, 0, Float::Bf16, &mut bytes, None).unwrap();
    assert_eq!(bytes, case.expect(Float::Bf16, &base, Float::Bf16));
}

#[test]
fn packing_scales_transposes_and_concatenates() {
    let mut random = Random(19);
    let (rows, cols) = (23, 35);
    let values: Vec<f64> = (0..200).map(|_| random.unit()).collect();
    for float in FLOATS {
        let read = |count: usize, shift: usize| decode(float, &encode(float, &values[shift..shift + count]));
        let (left_a, left_b) = (read(rows * 3, 0), read(rows * 2, 80));
        let (right_a, right_b) = (read(cols * 3, 7), read(cols * 2, 90));
        let mut factors = Factors::try_new(rows, cols, 5).unwrap();
        factors.pack_left(0, 3, FactorLayout::AsIs, &encode(float, &left_a), float, 0.3).unwrap();
        factors.pack_left(3, 2, FactorLayout::Transposed, &encode(float, &left_b), float, -1.0).unwrap();
        factors.pack_right(0, 3, FactorLayout::AsIs, &encode(float, &right_a), float, 1.0).unwrap();
        factors.pack_right(3, 2, FactorLayout::Transposed, &encode(float, &right_b), float, 1.0).unwrap();

        let left = (0..rows).flat_map(|row| {
            let a = (0..3).map({
                let left_a = &left_a;
                move |k| (left_a[row * 3 + k] * 0.3) as f32
            });
            a.chain((0..2).map({
                let left_b = &left_b;
                move |k| -left_b[k * rows + row] as f32
            }))
        });
        let right = (0..5).flat_map(|k| {
            let (right_a, right_b) = (&right_a, &right_b);
            (0..cols).map(move |col| (if k < 3 { right_a[k * cols + col] } else { right_b[col * 2 + k - 3] }) as f32)
        });
        let case = Case { rows, cols, rank: 5, left: left.collect(), right: right.collect(), factors };
        let base = vec![0; rows * cols * 4];
        let mut out = base.clone();
        fold_in_place(&case.factors, 0, Float::F32, &mut out, None).unwrap();
        assert_eq!(out, case.expect(Float::F32, &base, Float::F32), "{float:?}");
    }
}

#[test]
fn packing_refuses_what_is_not_finite() {
    let mut factors = Factors::try_new(2, 3, 2).unwrap();
    let non_finite = |index| Err(Unrepresentable::NonFinite { index });
    let bytes = encode(Float::F64, &[1.0, 2.0, 3.0, 1e39, 0.0, 0.0]);
    assert_eq!(factors.pack_right(0, 2, FactorLayout::Transposed, &bytes, Float::F64, 1.0), non_finite(3));
    let bytes = encode(Float::F16, &[1.0, 2.0, f64::INFINITY, f64::NAN]);
    assert_eq!(factors.pack_left(0, 2, FactorLayout::AsIs, &bytes, Float::F16, 1.0), non_finite(2));
}

/// What a tensor of zeros becomes with A, `r` × in, and B, out × `r`. It is stored out × in, `transposed` in × out.
fn delta_of(
    a: &[f64],
    b: &[f64],
    r: usize,
    (a_float, b_float): (Float, Float),
    scale: f64,
    transposed: bool,
) -> Vec<f64> {
    let (rows, cols) = if transposed { (a.len() / r, b.len() / r) } else { (b.len() / r, a.len() / r) };
    let mut factors = Factors::try_new(rows, cols, r).unwrap();
    let (a, b) = (encode(a_float, a), encode(b_float, b));
    if transposed {
        factors.pack_left(0, r, FactorLayout::Transposed, &a, a_float, 1.0).unwrap();
        factors.pack_right(0, r, FactorLayout::Transposed, &b, b_float, scale).unwrap();
    } else {
        factors.pack_right(0, r, FactorLayout::AsIs, &a, a_float, 1.0).unwrap();
        factors.pack_left(0, r, FactorLayout::AsIs, &b, b_float, scale).unwrap();
    }
    let mut out = vec![0; rows * cols * 4];
    fold_in_place(&factors, 0, Float::F32, &mut out, None).unwrap();
    decode(Float::F32, &out)
}

#[test]
fn extreme_factors_keep_their_delta() {
    let mut random = Random(41);
    let (rows, cols, r) = (7, 9, 3);
    let a: Vec<f64> = (0..r * cols).map(|_| random.unit()).collect();
    let b: Vec<f64> = (0..rows * r).map(|_| random.unit()).collect();
    // Powers of ten of A, B and the scale, whose sum is that of the delta.
    for (size_a, size_b, scale) in [
        (30, 0, -36),
        (30, -6, -36),
        (-30, 5, 36),
        (36, -36, -2),
        (-37, 37, 8),
        (38, -30, -40),
        (-2, 0, 39),
        (20, 15, -50),
    ] {
        let ten = |power: i32| 10.0f64.powi(power);
        // As f32 has them.
        let a: Vec<f64> = a.iter().map(|value| f64::from((value * ten(size_a)) as f32)).collect();
        let b: Vec<f64> = b.iter().map(|value| f64::from((value * ten(size_b)) as f32)).collect();
        for transposed in [false, true] {
            let found = delta_of(&a, &b, r, (Float::F32, Float::F32), ten(scale), transposed);
            for (index, found) in found.into_iter().enumerate() {
                let (row, col) = if transposed { (index % rows, index / rows) } else { (index / cols, index % cols) };
                let terms = (0..r).map(|k| b[row * r + k] * ten(scale) * a[k * cols + col]);
                let (exact, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                assert!(
                    (found - exact).abs() <= 1e-6 * size + 1e-43,
                    "{found:e} for {exact:e}: {size_a} {size_b} {scale}"
                );
            }
        }
    }
}

#[test]
fn ordinary_factors_are_packed_as_they_are_beside_extreme_ones() {
    // Two rank positions: one ordinary, with a value below the normal range that cannot matter; one that must be balanced.
    let (a, b) = ([1.5, 0.75, 1e30, 2e30], [0.1, 1e-5, 1e-39, 1e-6]);
    let found = delta_of(&a, &b, 2, (Float::F32, Float::F64), 1e-34, false);
    let scaled = |value: f64| f64::from((value * 1e-34) as f32);
    let a32 = |value: f64| f64::from(value as f32);
    let expected = [
        (scaled(0.1) * 1.5, 1e-5 * 1e-34 * a32(1e30)),
        (scaled(0.1) * 0.75, 1e-5 * 1e-34 * a32(2e30)),
        (scaled(1e-39) * 1.5, 1e-6 * 1e-34 * a32(1e30)),
        (scaled(1e-39) * 0.75, 1e-6 * 1e-34 * a32(2e30)),
    ];
    for (found, (small, large)) in found.into_iter().zip(expected) {
        assert!((found - (small + large)).abs() <= 1e-6 * large, "{found:e} for {small:e} + {large:e}");
    }
}

#[test]
fn what_no_balance_can_hold_is_refused() {
    let pack = |a: [f64; 2], b: [f64; 2], scale| {
        let mut factors = Factors::try_new(2, 2, 1).unwrap();
        factors.pack_right(0, 1, FactorLayout::AsIs, &encode(Float::F64, &a), Float::F64, 1.0).unwrap();
        factors.pack_left(0, 1, FactorLayout::AsIs, &encode(Float::F64, &b), Float::F64, scale)
    };
    assert_eq!(pack([1e30, 1.0], [1.0, 1.0], 1e-36), Ok(()));
    assert_eq!(pack([1e38, 1.0], [1e200, 1.0], 1.0), Err(Unrepresentable::NonFinite { index: 0 }));
    assert_eq!(pack([1.0, 1.0], [1.0, 1e308], 10.0), Err(Unrepresentable::NonFinite { index: 1 }));
    // B needs 2^-240 to 2^70, with A at 2^100.
    assert_eq!(
        pack([2.0f64.powi(100), 1.0], [2.0f64.powi(70), 1e-72], 1.0),
        Err(Unrepresentable::Underflow { index: 1 })
    );
    // A lost its bits when it was packed, before B was known.
    assert_eq!(pack([1e-46, 1.0], [1.0, 1e10], 1.0), Err(Unrepresentable::Underflow { index: 1 }));
    assert_eq!(pack([1e-46, 1.0], [1.0, 1e3], 1.0), Ok(()));
}

#[test]
fn memory_is_reserved_or_refused() {
    assert_eq!(Factors::bytes_needed(5, 17, 3), (8 + 32) * 3 * 4 + 3 * 32);
    assert_eq!(Factors::bytes_needed(usize::MAX, usize::MAX, usize::MAX), u64::MAX);
    let refused = Factors::try_new(usize::MAX / 4, 1, 1).err().map(|error| error.code());
    assert_eq!(refused, Some("limit-exceeded"));
}

#[test]
fn empty_tensors_have_nothing_to_fold() {
    for (rows, cols) in [(0, 0), (0, 5), (5, 0)] {
        let factors = Factors::try_new(rows, cols, 3).unwrap();
        fold_in_place(&factors, 0, Float::F16, &mut [], None).unwrap();
    }
}

/// The same bits in every build and every engine: change this only together with the definition.
#[cfg_attr(miri, ignore = "sums of many elements and a hash of them take too long")]
#[test]
fn the_bits_are_the_same_everywhere() {
    use sha2::{Digest, Sha256};
    let mut random = Random(23);
    let mut digest = Sha256::new();
    for rank in [0, 1, 3, 8, 17, 64] {
        let case = Case::new(&mut random, 61, 83, rank);
        let weights: Vec<f64> = (0..61 * 83).map(|_| random.weight()).collect();
        for from in FLOATS {
            for to in FLOATS {
                digest.update(case.fold(&Kernel::detect, from, &encode(from, &weights), to));
            }
        }
    }
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "ed25187f723089f7592e8cb9ebe95084f3a0f5672a3a86620e037b05bc650830");
}

#[cfg(not(any(target_arch = "wasm32", miri)))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_split_gives_the_same_bytes(
            rows in 1usize..40, cols in 1usize..90, rank in 0usize..20, seed: u64, float in 0usize..4,
            cuts in proptest::collection::vec(0.0f64..1.0, 0..12),
        ) {
            let float = FLOATS[float];
            let mut random = Random(seed);
            let case = Case::new(&mut random, rows, cols, rank);
            let weights: Vec<f64> = (0..rows * cols).map(|_| random.weight()).collect();
            let base = encode(float, &weights);
            let mut whole = base.clone();
            fold_in_place(&case.factors, 0, float, &mut whole, None).unwrap();

            let mut cuts: Vec<usize> = cuts.iter().map(|cut| (cut * (rows * cols) as f64) as usize).collect();
            cuts.extend([0, rows * cols]);
            cuts.sort_unstable();
            let mut parts = base;
            for cut in cuts.windows(2) {
                let part = &mut parts[cut[0] * float.bytes()..cut[1] * float.bytes()];
                fold_in_place(&case.factors, cut[0] as u64, float, part, None).unwrap();
            }
            prop_assert_eq!(parts, whole);
        }
    }
}
