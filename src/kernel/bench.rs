//! What the benchmarks measure, also as plain exports of the wasm module. Only with the feature `bench`.

use std::cell::RefCell;

use super::isa::Isa;
use super::{FactorLayout, Factors, Statistics, fold_in_place};
use crate::tensor::Float;

/// A tensor of weights like a model's, and its factors.
pub struct Subject {
    factors: Factors,
    float: Float,
    bytes: Vec<u8>,
}

/// The element type that the exports call by a number.
fn float(number: u32) -> Float {
    [Float::F16, Float::Bf16, Float::F32, Float::F64][number as usize % 4]
}

/// Seeded numbers in -1..1.
fn random(count: usize) -> impl Iterator<Item = f64> {
    let mut state = 1u64;
    (0..count).map(move |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        f64::from((state >> 32) as u32) / 2.0f64.powi(31) - 1.0
    })
}

fn encoded(float: Float, values: impl Iterator<Item = f64>) -> Vec<u8> {
    let mut element = [0; 8];
    let encode = |value| {
        float.write(value, &mut element);
        element.into_iter().take(float.bytes())
    };
    values.flat_map(encode).collect()
}

impl Subject {
    /// A rows × cols tensor with factors of `rank`; `None` where there is no memory for it.
    pub fn new(rows: usize, cols: usize, rank: usize, float: Float) -> Option<Subject> {
        let mut factors = Factors::try_new(rows, cols, rank).ok()?;
        let left = encoded(Float::F32, random(rows * rank));
        let right = encoded(Float::F32, random(rank * cols));
        factors.pack_left(0, rank, FactorLayout::AsIs, &left, Float::F32, 1e-4).ok()?;
        factors.pack_right(0, rank, FactorLayout::AsIs, &right, Float::F32, 1.0).ok()?;
        let bytes = encoded(float, random(rows * cols).map(|weight| weight * 0.02));
        Some(Subject { factors, float, bytes })
    }

    /// Folds the whole tensor once more.
    pub fn fold(&mut self, statistics: bool) {
        let mut sums = Statistics::default();
        let result = fold_in_place(&self.factors, 0, self.float, &mut self.bytes, statistics.then_some(&mut sums));
        debug_assert!(result.is_ok());
        std::hint::black_box(sums);
    }
}

/// Multiplications and additions, in registers alone: returns how many floating-point operations `turns` were.
pub fn multiply_and_add(turns: usize) -> u64 {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return peak::<super::wasm32::Simd128>(turns);
    #[cfg(target_arch = "aarch64")]
    return peak::<super::aarch64::Neon>(turns);
    #[cfg(target_arch = "x86_64")]
    return if std::arch::is_x86_feature_detected!("avx2") {
        peak::<super::x86_64::Avx2>(turns)
    } else {
        peak::<super::x86_64::Sse2>(turns)
    };
    #[allow(unreachable_code, reason = "only where there is no SIMD")]
    peak::<super::scalar::Scalar>(turns)
}

fn peak<I: Isa>(turns: usize) -> u64 {
    // SAFETY: the caller chose an instruction set that the CPU has.
    std::hint::black_box(unsafe { I::peak(turns) });
    // A multiplication and an addition for each lane; a tile is two vectors wide.
    (turns * super::tile::PEAK_VECTORS * I::COLUMNS) as u64
}

thread_local! {
    static SUBJECT: RefCell<Option<Subject>> = const { RefCell::new(None) };
}

/// Makes the subject of the next calls of [`bench_fold`]; 0 where memory is short.
#[unsafe(no_mangle)]
pub extern "C" fn bench_prepare(rows: usize, cols: usize, rank: usize, float_number: u32) -> u32 {
    SUBJECT.with_borrow_mut(|subject| {
        *subject = None;
        *subject = Subject::new(rows, cols, rank, float(float_number));
        u32::from(subject.is_some())
    })
}

/// Folds the prepared tensor once.
#[unsafe(no_mangle)]
pub extern "C" fn bench_fold(statistics: u32) {
    SUBJECT.with_borrow_mut(|subject| {
        if let Some(subject) = subject {
            subject.fold(statistics != 0);
        }
    });
}

/// [`multiply_and_add`], as a number that JavaScript reads without BigInt.
#[unsafe(no_mangle)]
pub extern "C" fn bench_peak(turns: usize) -> f64 {
    multiply_and_add(turns) as f64
}
