//! The largest singular values of a matrix that is nowhere as a whole: it comes by row by row, twice.
//!
//! Block Krylov iteration from a random start (Musco and Musco, "Randomized block Krylov methods for stronger and faster approximate singular
//! value decomposition", NeurIPS 2015), as few passes as it can have: each takes the rows D as they come, Y = D P and Z = Dᵀ Y. The first starts
//! from random numbers, the second from the singular vectors of the first Z. With Q an orthonormal basis of both Y, which is Y C, the
//! projection Qᵀ D is Cᵀ Zᵀ: no third pass is needed. Memory is (rows + cols) · 2 · width, and a few rows.

use sha2::{Digest, Sha256};

use super::independent::independent;
use super::keep::Keep;
use super::matrix::{Matrix, dot, zeros};
use super::qr::{Qr, qr};
use super::svd::{Svd, svd};
use super::thin::{Thin, eigenvectors, gram, times};
use crate::error::Result;
use crate::kernel::{Left, Real, THIN, row_squares};
use crate::tensor::Float;

/// Where the search for the singular values of a module's weight begins: the first 64 bits, lowest first, of the sha256 of the seed (8 bytes) and the
/// module's path.
pub(crate) fn start_key(seed: u64, module: &str) -> u64 {
    let mut hash = Sha256::new_with_prefix(seed.to_le_bytes());
    hash.update(module);
    hash.finalize().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// A matrix that comes by row by row, any number of times.
pub(crate) trait Rows {
    /// Its sides.
    fn sides(&self) -> (usize, usize);

    /// Whether f32 holds its values as exactly as they are known. Then it is sketched in f32.
    fn is_narrow(&self) -> bool;

    /// Write the `count` rows from `first` on to `out`, each `stride` values after the one before. Every pass begins with row 0 and goes on in
    /// order.
    ///
    /// # Errors
    /// Those of reading; `non-finite`.
    async fn read<R: Real>(&mut self, first: usize, count: usize, stride: usize, out: &mut [R]) -> Result<()>;
}

/// The largest singular values, and their vectors.
pub(crate) struct Sketch {
    pub(crate) svd: Svd,
    /// The sum of the squares of all values.
    pub(crate) total: f64,
}

/// Rows that are multiplied before the next ones are read: they decide the order of the sums, and so they are the same everywhere.
pub(crate) const ROWS_TOGETHER: usize = 64;

/// Values of a row that are summed up in one go, and then added to the sum of those before: the error of a sum in f32 grows with the root of both.
const DEPTH: usize = 128;

/// Columns of a block beside those that are asked for, at least.
const SPARE: usize = 8;

/// Columns of the first block where an energy is asked for.
const FIRST: usize = 32;

/// The largest singular values of `rows`, as many as it takes to tell what is kept. `key` decides the random start.
///
/// # Errors
/// Those of `rows`; `limit-exceeded` where memory does not suffice.
pub(crate) async fn sketch(rows: &mut impl Rows, keep: Keep, key: u64) -> Result<Sketch> {
    let (height, cols) = rows.sides();
    let smallest = height.min(cols);
    let wanted = keep.rank.unwrap_or(smallest).min(smallest);
    let mut known = if keep.energy.is_some() { wanted.min(FIRST) } else { wanted };
    let mut narrow = rows.is_narrow();
    loop {
        // What both blocks span is at most all.
        let width = known.saturating_add(SPARE.max(known / 2)).next_multiple_of(THIN);
        if width >= smallest.div_ceil(2) {
            return whole(rows).await;
        }
        let found = match narrow {
            true => iterate::<f32>(rows, width, known, key).await?,
            false => iterate::<f64>(rows, width, known, key).await?,
        };
        match found {
            None => narrow = false,
            Some(sketch)
                if known == wanted || sketch.total == 0.0 || keep.is_known(&sketch.svd.values, sketch.total) =>
            {
                return Ok(sketch);
            }
            Some(_) => known = known.saturating_mul(2).min(wanted),
        }
    }
}

/// All singular values of a small matrix, or of one of which nearly all are wanted.
async fn whole(rows: &mut impl Rows) -> Result<Sketch> {
    let (height, cols) = rows.sides();
    let mut values: Vec<f64> = zeros(height.checked_mul(cols))?;
    for (number, some) in values.chunks_mut(cols.saturating_mul(ROWS_TOGETHER).max(1)).enumerate() {
        rows.read(number * ROWS_TOGETHER, some.len() / cols, cols, some).await?;
    }
    let total = dot(&values, &values);
    // Row by row, it is the other way round.
    let turned = Matrix { rows: cols, cols: height, values };
    let tall = if height < cols { turned } else { turned.transposed()? };
    let Qr { q, r } = qr(tall)?;
    let Svd { u, values, v } = svd(r)?;
    let u = q.times(&u)?;
    let svd = if height < cols { Svd { u: v, values, v: u } } else { Svd { u, values, v } };
    Ok(Sketch { svd, total })
}

/// The norms of a matrix whose products, and what they are added to, stay far from the ends of f32.
const IN_RANGE: std::ops::Range<f64> = 1e-12..1e15;

/// Two passes in one type, and the `known` largest values. Nothing where the norm is too large or too small for f32.
async fn iterate<R: Real>(rows: &mut impl Rows, width: usize, known: usize, key: u64) -> Result<Option<Sketch>> {
    let mut pass = Pass::<R>::new(rows.sides())?;
    let start = Thin::random(rows.sides().1, width, key)?;
    let mut total = 0.0;
    let first = pass.run(rows, &start, Some(&mut total)).await?;
    drop(start);
    if R::FLOAT == Float::F32 && total != 0.0 && !IN_RANGE.contains(&total.sqrt()) {
        return Ok(None);
    }
    let svd = if total == 0.0 {
        let (height, cols) = rows.sides();
        Svd { u: Matrix::zeros(height, 0)?, values: Vec::new(), v: Matrix::zeros(cols, 0)? }
    } else {
        let basis = first.right.principal()?;
        let second = pass.run(rows, &basis, None).await?;
        drop((basis, pass));
        // The vectors of the second have the lengths of their values, nearly, the largest first: that keeps the basis exact.
        resolved(&[&second.left, &first.left], &[&second.right, &first.right], known)?
    };
    Ok(Some(Sketch { svd, total }))
}

/// What D is in the space of the columns of Y, as its `known` largest singular values. Z is Dᵀ Y.
fn resolved<R: Real>(y: &[&Thin<R>], z: &[&Thin<R>], known: usize) -> Result<Svd> {
    let basis = independent(&gram(y)?, R::FLOAT)?;
    // Qᵀ D Dᵀ Q, whose eigenvectors are the left singular vectors of Qᵀ D.
    let core = basis.transposed_times(&gram(z)?.times(&basis)?)?;
    let turn = basis.times(&eigenvectors(core)?.truncated(known))?;
    let (u, mut v) = (times(y, &turn)?, times(z, &turn)?);
    let values: Vec<f64> = v.columns().map(|column| dot(column, column).sqrt()).collect();
    let inverse = |value: &f64| if *value > 0.0 { 1.0 / value } else { 0.0 };
    v.scale_columns(&values.iter().map(inverse).collect::<Vec<_>>());
    Ok(Svd { u, values, v })
}

/// The memory of a pass.
struct Pass<R> {
    /// Some rows of the matrix, `stride` values apart.
    some: Vec<R>,
    stride: usize,
}

/// What a pass gives: Y = D P, and Z = Dᵀ Y.
struct Products<R> {
    left: Thin<R>,
    right: Thin<R>,
}

/// Values of a cache line, or more.
const LINE: usize = 16;

impl<R: Real> Pass<R> {
    fn new((_, cols): (usize, usize)) -> Result<Pass<R>> {
        // An odd number of lines, so that not all rows begin in the same lines of the cache.
        let stride = (cols.div_ceil(LINE) | 1).saturating_mul(LINE);
        Ok(Pass { some: zeros(stride.checked_mul(ROWS_TOGETHER))?, stride })
    }

    /// Multiply all rows, and add the squares of all values to `total`, where it is asked for.
    async fn run(&mut self, rows: &mut impl Rows, thin: &Thin<R>, mut total: Option<&mut f64>) -> Result<Products<R>> {
        let Pass { some, stride } = self;
        let ((height, cols), width, stride) = (rows.sides(), thin.width, *stride);
        let (mut left, mut right) = (Thin::zeros(height, width)?, Thin::zeros(cols, width)?);
        for (number, left) in left.values.chunks_mut(width * ROWS_TOGETHER).enumerate() {
            let count = left.len() / width;
            rows.read(number * ROWS_TOGETHER, count, stride, some).await?;
            if let Some(total) = total.as_mut() {
                for row in some.chunks_exact(stride).take(count) {
                    let mut square = [0.0];
                    row_squares(&row[..cols], cols, &mut square);
                    **total += square[0];
                }
            }
            for (part, thin) in thin.values.chunks(width * DEPTH).enumerate() {
                let (values, depth) = (&some[part * DEPTH..], thin.len() / width);
                let rows = Left { values, rows: count, depth, row_step: stride, depth_step: 1 };
                R::add_product(rows, thin, width, left);
            }
            let columns = Left { values: &some[..], rows: cols, depth: count, row_step: 1, depth_step: stride };
            R::add_product(columns, left, width, &mut right.values);
        }
        Ok(Products { left, right })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use crate::factors::matrix::add_multiple;
    use crate::kernel::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A matrix that is in memory.
    struct Dense {
        rows: usize,
        cols: usize,
        /// Row by row.
        values: Vec<f64>,
        narrow: bool,
        /// Passes that have begun.
        passes: usize,
    }

    impl Rows for Dense {
        fn sides(&self) -> (usize, usize) {
            (self.rows, self.cols)
        }

        fn is_narrow(&self) -> bool {
            self.narrow
        }

        async fn read<R: Real>(&mut self, first: usize, count: usize, stride: usize, out: &mut [R]) -> Result<()> {
            self.passes += usize::from(first == 0);
            let rows = self.values.chunks_exact(self.cols).skip(first).take(count);
            for (to, from) in out.chunks_mut(stride).zip(rows) {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = R::from_f64(*from));
            }
            Ok(())
        }
    }

    impl Dense {
        /// Random orthonormal columns on both sides of these singular values.
        fn with(rows: usize, cols: usize, singular: &[f64], narrow: bool) -> Dense {
            let mut random = Random(61);
            let mut basis = |rows: usize| {
                let values = (0..rows * singular.len()).map(|_| random.unit()).collect();
                qr(Matrix { rows, cols: singular.len(), values }).unwrap().q
            };
            let (left, right) = (basis(rows), basis(cols));
            let mut values = vec![0.0; rows * cols];
            for ((left, right), value) in left.columns().zip(right.columns()).zip(singular) {
                for (row, left) in values.chunks_exact_mut(cols).zip(left) {
                    add_multiple(row, value * left, right);
                }
            }
            if narrow {
                values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
            }
            Dense { rows, cols, values, narrow, passes: 0 }
        }

        fn sketch(&mut self, keep: Keep) -> Sketch {
            let future = std::pin::pin!(sketch(self, keep, 7));
            let Poll::Ready(sketch) = future.poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits") };
            sketch.unwrap()
        }

        /// The sum of the squares of what a decomposition has not.
        fn lost(&self, svd: &Svd) -> f64 {
            let mut rest = self.values.clone();
            for ((left, right), value) in svd.u.columns().zip(svd.v.columns()).zip(&svd.values) {
                for (row, left) in rest.chunks_exact_mut(self.cols).zip(left) {
                    add_multiple(row, -value * left, right);
                }
            }
            dot(&rest, &rest)
        }
    }

    const fn rank(rank: usize) -> Keep {
        Keep { rank: Some(rank), energy: None }
    }

    fn energy(values: &[f64]) -> f64 {
        values.iter().map(|value| value * value).sum()
    }

    /// Many rows, many columns, and neither side a multiple of anything.
    const SIDES: [(usize, usize); 3] = [(203, 77), (71, 301), (130, 128)];

    #[test]
    fn what_has_the_wanted_rank_comes_back_whole_after_two_passes() {
        let steep: Vec<f64> = (0..8).map(|k| 10f64.powf(-0.4 * f64::from(k))).collect();
        for (rows, cols) in SIDES {
            for (narrow, singular, limit) in [
                (true, &[3.0, 2.0, 1.0][..], 1e-12),
                (true, &steep, 1e-12),
                (false, &[3.0, 2.0, 1.0], 1e-27),
                (false, &steep, 1e-24),
            ] {
                let mut dense = Dense::with(rows, cols, singular, narrow);
                let Sketch { svd, total } = dense.sketch(rank(8));
                assert_eq!(dense.passes, 2);
                let (lost, known) = (dense.lost(&svd) / total, energy(singular));
                assert!(lost < limit, "{rows} × {cols}, {narrow}, {}: {lost:e}", singular.len());
                assert!((total / known - 1.0).abs() < 1e-6);
                for (found, known) in svd.values.iter().zip(singular) {
                    assert!((found - known).abs() < 1e-6 * singular[0], "{found} is not {known}");
                }
            }
        }
    }

    #[test]
    fn what_is_kept_is_nearly_the_best_and_what_is_said() {
        let falling = |power: f64| (1..=71).map(|k| f64::from(k).powf(power)).collect::<Vec<f64>>();
        // Beside one that is far larger than all others, these are told as well.
        let mut above = falling(-0.5);
        above[0] = 1e2;
        let mut noisy = vec![1e-3; 71];
        noisy[..8].copy_from_slice(&falling(-0.5)[..8]);
        for (name, singular, share) in [
            ("slow", falling(-0.5), 0.98),
            ("fast", falling(-2.0), 0.9999),
            ("above", above, 0.97),
            ("noisy", noisy, 0.999999),
            ("alike", vec![1.0; 71], 0.99),
        ] {
            for (rows, cols) in SIDES {
                for narrow in [true, false] {
                    let mut dense = Dense::with(rows, cols, &singular, narrow);
                    let Sketch { svd, total } = dense.sketch(rank(8));
                    assert_eq!(svd.values.len(), 8);
                    let (kept, first) = (energy(&svd.values), singular[0] * singular[0]);
                    let best = energy(&singular[..8]);
                    assert!(kept <= best * (1.0 + 1e-6), "{name}");
                    let found = if name == "above" { (kept - first) / (best - first) } else { kept / best };
                    assert!(found > share, "{name}, {rows} × {cols}, {narrow}: {found}");
                    let (lost, said) = (dense.lost(&svd), total - kept);
                    assert!((lost - said).abs() < 1e-6 * total, "{name}: {lost:e} and not {said:e}");
                }
            }
        }
    }

    #[test]
    fn what_is_too_large_or_too_small_for_f32_is_sketched_in_f64() {
        for (scale, passes) in [(1e-25, 3), (1e25, 3), (1e-6, 2), (1e6, 2)] {
            let mut dense = Dense::with(90, 80, &[3.0 * scale, scale], true);
            let Sketch { svd, total } = dense.sketch(rank(4));
            assert_eq!(dense.passes, passes, "{scale:e}");
            assert!(dense.lost(&svd) < 1e-12 * total, "{scale:e}");
        }
        let mut zeros = Dense { rows: 90, cols: 80, values: vec![0.0; 7200], narrow: true, passes: 0 };
        let Sketch { svd, total } = zeros.sketch(rank(4));
        assert!(total == 0.0 && svd.values.is_empty() && zeros.passes == 1);
    }

    #[test]
    fn as_many_values_are_found_as_an_energy_takes() {
        let singular: Vec<f64> = (1..=120).map(|k| 1.0 / f64::from(k)).collect();
        for (wanted, rows, cols) in [(0.9, 200, 190), (0.98, 200, 190), (0.98, 190, 200), (0.995, 120, 400)] {
            let sums = (1..=120).find(|&count| energy(&singular[..count]) >= wanted * energy(&singular)).unwrap();
            let mut dense = Dense::with(rows, cols, &singular, true);
            let Sketch { svd, total } = dense.sketch(Keep { rank: None, energy: Some(wanted) });
            let count = Keep { rank: None, energy: Some(wanted) }.count(&svd.values, total);
            assert!((sums..=sums + 1).contains(&count), "{wanted}: {count} and not {sums}");
        }
    }

    #[test]
    fn a_small_matrix_is_decomposed_exactly() {
        let singular = [5.0, 3.0, 1.0, 1e-3, 1e-9];
        for (rows, cols) in [(5, 40), (300, 5), (9, 9)] {
            let mut dense = Dense::with(rows, cols, &singular, false);
            let Sketch { svd, .. } = dense.sketch(rank(8));
            assert_eq!(dense.passes, 1);
            for (found, known) in svd.values.iter().zip(&singular) {
                assert!((found - known).abs() < 1e-13, "{found} is not {known}");
            }
        }
    }
}
