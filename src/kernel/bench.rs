//! What the benchmarks measure, also as plain exports of the wasm module. Only with the feature `bench`.

use std::cell::RefCell;

use super::isa::Isa;
use super::{FactorLayout, Factors, Statistics, column_squares, fold_in_place, fold_into, row_squares, scale_rows};
use crate::tensor::Float;

/// A tensor of weights like a model's, and its factors.
pub struct Subject {
    factors: Factors,
    float: Float,
    bytes: Vec<u8>,
    converted: Vec<u8>,
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
    /// A rows × cols tensor with factors of `rank`; `None` if there is not enough memory.
    pub fn new(rows: usize, cols: usize, rank: usize, float: Float) -> Option<Subject> {
        let mut factors = Factors::try_new(rows, cols, rank).ok()?;
        let left = encoded(Float::F32, random(rows * rank));
        let right = encoded(Float::F32, random(rank * cols));
        factors.pack_left(0, rank, FactorLayout::AsIs, &left, Float::F32, 1e-4).ok()?;
        factors.pack_right(0, rank, FactorLayout::AsIs, &right, Float::F32, 1.0).ok()?;
        let bytes = encoded(float, random(rows * cols).map(|weight| weight * 0.02));
        Some(Subject { factors, float, bytes, converted: Vec::new() })
    }

    /// Folds the whole tensor once more.
    pub fn fold(&mut self, statistics: bool) {
        let mut sums = Statistics::default();
        let result = fold_in_place(&self.factors, 0, self.float, &mut self.bytes, statistics.then_some(&mut sums));
        debug_assert!(result.is_ok());
        std::hint::black_box(sums);
    }

    /// Folds the whole tensor in blocks of a few rows, which are not whole panels.
    pub fn fold_rows(&mut self, rows: usize) {
        let cols = self.factors.cols();
        for (block, bytes) in self.bytes.chunks_mut(rows * cols * self.float.bytes()).enumerate() {
            let result = fold_in_place(&self.factors, (block * rows * cols) as u64, self.float, bytes, None);
            debug_assert!(result.is_ok());
        }
    }

    /// Converts the whole tensor to another type.
    pub fn convert(&mut self, to: Float) {
        let elements = self.bytes.len() / self.float.bytes();
        self.converted.resize(elements * to.bytes(), 0);
        let result = fold_into(&Factors::none(elements), 0, self.float, &self.bytes, to, &mut self.converted, None);
        debug_assert!(result.is_ok());
    }
}

/// A tile of f32 for the functions of [`norms`](super::norms).
pub struct Tile {
    values: Vec<f32>,
    cols: usize,
    rows_out: Vec<f64>,
    cols_out: Vec<f64>,
    factors: Vec<f32>,
}

impl Tile {
    /// A rows × cols tile.
    pub fn new(rows: usize, cols: usize) -> Tile {
        let values = random(rows * cols).map(|value| value as f32).collect();
        Tile { values, cols, rows_out: vec![0.0; rows], cols_out: vec![0.0; cols], factors: vec![1.0; rows] }
    }

    /// Sums the squares of the rows.
    pub fn row_squares(&mut self) {
        row_squares(&self.values, self.cols, &mut self.rows_out);
    }

    /// Sums the squares of the columns.
    pub fn column_squares(&mut self) {
        column_squares(&self.values, self.cols, &mut self.cols_out);
    }

    /// Multiplies the rows.
    pub fn scale_rows(&mut self) {
        scale_rows(&mut self.values, self.cols, &self.factors);
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
        peak::<super::avx2::Avx2>(turns)
    } else {
        peak::<super::sse2::Sse2>(turns)
    };
    #[allow(unreachable_code, reason = "only where there is no SIMD")]
    peak::<super::scalar::Scalar>(turns)
}

fn peak<I: Isa>(turns: usize) -> u64 {
    // SAFETY: `multiply_and_add` names an instruction set only where it has found it on this CPU.
    std::hint::black_box(unsafe { I::peak(turns) });
    // A multiplication and an addition for each lane; a tile is two vectors wide.
    (turns * super::tile::PEAK_VECTORS * I::COLUMNS) as u64
}

thread_local! {
    static SUBJECT: RefCell<Option<Subject>> = const { RefCell::new(None) };
    static TILE: RefCell<Option<Tile>> = const { RefCell::new(None) };
}

/// Prepares the tensor for the next calls of [`bench_fold`]; returns 0 if there is not enough memory.
#[unsafe(no_mangle)]
pub extern "C" fn bench_prepare(rows: usize, cols: usize, rank: usize, float_number: u32) -> u32 {
    SUBJECT.with_borrow_mut(|subject| {
        *subject = None;
        *subject = Subject::new(rows, cols, rank, float(float_number));
        u32::from(subject.is_some())
    })
}

/// Where the bytes of the prepared tensor are in the memory; 0 where none is prepared.
#[unsafe(no_mangle)]
pub extern "C" fn bench_bytes() -> usize {
    SUBJECT.with_borrow(|subject| subject.as_ref().map_or(0, |subject| subject.bytes.as_ptr() as usize))
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

/// Folds the prepared tensor once, in blocks of `rows` rows.
#[unsafe(no_mangle)]
pub extern "C" fn bench_fold_rows(rows: usize) {
    SUBJECT.with_borrow_mut(|subject| subject.iter_mut().for_each(|subject| subject.fold_rows(rows)));
}

/// Converts the prepared tensor once.
#[unsafe(no_mangle)]
pub extern "C" fn bench_convert(to_number: u32) {
    SUBJECT.with_borrow_mut(|subject| subject.iter_mut().for_each(|subject| subject.convert(float(to_number))));
}

/// Prepares the tile for the next calls of [`bench_tile`].
#[unsafe(no_mangle)]
pub extern "C" fn bench_prepare_tile(rows: usize, cols: usize) {
    TILE.set(Some(Tile::new(rows, cols)));
}

/// Sums the squares of the tile's rows (0) or columns (1), or multiplies its rows (2).
#[unsafe(no_mangle)]
pub extern "C" fn bench_tile(what: u32) {
    TILE.with_borrow_mut(|tile| {
        tile.iter_mut().for_each(|tile| match what {
            0 => tile.row_squares(),
            1 => tile.column_squares(),
            _ => tile.scale_rows(),
        });
    });
}

/// [`multiply_and_add`], as a number that JavaScript reads without BigInt.
#[unsafe(no_mangle)]
pub extern "C" fn bench_peak(turns: usize) -> f64 {
    multiply_and_add(turns) as f64
}
