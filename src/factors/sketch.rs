//! The largest singular values of a matrix that is nowhere as a whole: it comes by row by row, several times.
//!
//! Halko, Martinsson, Tropp, "Finding structure with randomness" (SIAM Review 53, 2011): block power iteration from a random start. Each
//! pass but the last one replaces the block P by an orthonormal basis of DᵀD P; then D ≈ D P Pᵀ. Memory is (rows + cols) · width, and a few rows.

use sha2::{Digest, Sha256};

use super::keep::Keep;
use super::matrix::{Matrix, dot, turned, zeros};
use super::qr::qr;
use super::svd::{Svd, svd};
use crate::error::Result;
use crate::kernel::{STRIP, Strip, multiply};
use crate::tensor::philox::random_block;

/// A matrix that comes by row by row, any number of times.
pub(crate) trait Rows {
    /// Its sides.
    fn sides(&self) -> (usize, usize);

    /// Write the `count` rows from `first` on to `out`. Every pass begins with row 0 and goes on in order.
    ///
    /// # Errors
    /// Those of reading; `non-finite`.
    async fn read(&mut self, first: usize, count: usize, out: &mut [f64]) -> Result<()>;
}

/// The largest singular values, and their vectors.
pub(crate) struct Sketch {
    pub(crate) svd: Svd,
    /// The sum of the squares of all values.
    pub(crate) total: f64,
}

/// Rows that are multiplied before the next ones are read: they decide the order of the sums, and so they are the same everywhere.
pub(crate) const ROWS_TOGETHER: usize = 64;

/// Columns of the block beside those that are asked for, at least.
const SPARE: usize = 8;

/// Columns of the first block where an energy is asked for.
const FIRST: usize = 32;

/// Passes before the last one.
const POWERS: usize = 2;

/// Where the search for the singular values of a module's weight begins: the first 64 bits, lowest first, of the sha256 of the seed (8 bytes) and the
/// module's path.
pub(crate) fn start_key(seed: u64, module: &str) -> u64 {
    let mut hash = Sha256::new_with_prefix(seed.to_le_bytes());
    hash.update(module);
    hash.finalize().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// The largest singular values of `rows`, as many as it takes to tell what is kept. `key` decides the random start.
///
/// # Errors
/// Those of `rows`; `limit-exceeded` where memory does not suffice.
pub(crate) async fn sketch(rows: &mut impl Rows, keep: Keep, key: u64) -> Result<Sketch> {
    let (height, cols) = rows.sides();
    let smallest = height.min(cols);
    let wanted = keep.rank.unwrap_or(smallest);
    let first = if keep.energy.is_some() { wanted.min(FIRST) } else { wanted };
    let mut width = first;
    loop {
        let block = width.saturating_add(SPARE.max(width / 2)).min(smallest);
        let sketch = iterate(rows, block, key).await?;
        // Those beyond the width are less exact.
        let known = if block == smallest { block } else { width };
        let values = sketch.svd.values.get(..known).unwrap_or(&sketch.svd.values);
        if block == smallest || sketch.total == 0.0 || keep.is_known(values, sketch.total) {
            return Ok(sketch);
        }
        width = width.saturating_mul(2).min(wanted);
    }
}

async fn iterate(rows: &mut impl Rows, width: usize, key: u64) -> Result<Sketch> {
    let (height, cols) = rows.sides();
    let mut pass = Pass::new(cols, width)?;
    let mut basis = qr(start(cols, width, key)?)?.q;
    let mut total = 0.0;
    // A block as wide as the matrix spans all of it at once.
    let powers = if width == cols { 0 } else { POWERS };
    for _ in 0..powers {
        let mut product = zeros(cols.checked_mul(width))?;
        total = pass.run(rows, &basis, &mut |pass, count, _| pass.add_turned(count, &mut product)).await?;
        if total == 0.0 {
            break;
        }
        basis = qr(Matrix { rows: cols, cols: width, values: turned(&product, cols, width)? })?.q;
    }
    let mut left = Matrix::zeros(height, width)?;
    if powers == 0 || total > 0.0 {
        let mut copy = |pass: &mut Pass, count: usize, first: usize| {
            for (row, values) in pass.products.chunks_exact(width).take(count).enumerate() {
                let places = left.values.iter_mut().skip(first + row).step_by(height);
                values.iter().zip(places).for_each(|(value, place)| *place = *value);
            }
        };
        total = pass.run(rows, &basis, &mut copy).await?;
    }
    drop(pass);
    let left = qr(left)?;
    let Svd { u, values, v } = svd(left.r)?;
    Ok(Sketch { svd: Svd { u: left.q.times(&u)?, values, v: basis.times(&v)? }, total })
}

/// Random numbers between −1 and 1.
fn start(rows: usize, cols: usize, key: u64) -> Result<Matrix> {
    let mut matrix = Matrix::zeros(rows, cols)?;
    for (block, values) in matrix.values.chunks_mut(4).enumerate() {
        for (value, number) in values.iter_mut().zip(random_block(block as u64, key)) {
            *value = f64::from(number as i32) / (1u64 << 31) as f64;
        }
    }
    Ok(matrix)
}

/// The memory of a pass.
struct Pass {
    cols: usize,
    width: usize,
    /// Some rows of the matrix.
    rows: Vec<f64>,
    /// The same rows times the block.
    products: Vec<f64>,
    /// Columns of the rows, the other way round; and their product with the products.
    turned: Vec<f64>,
    sums: Vec<f64>,
}

/// Columns that are turned at a time: they and the products stay in the first cache.
const COLS_TOGETHER: usize = STRIP * 8;

impl Pass {
    fn new(cols: usize, width: usize) -> Result<Pass> {
        Ok(Pass {
            cols,
            width,
            rows: zeros(cols.checked_mul(ROWS_TOGETHER))?,
            products: zeros(width.checked_mul(ROWS_TOGETHER))?,
            turned: zeros(Some(COLS_TOGETHER * ROWS_TOGETHER))?,
            sums: zeros(width.checked_mul(COLS_TOGETHER))?,
        })
    }

    /// Multiply all rows with `basis`, and hand over the products of some rows at a time. Gives the sum of the squares of all values.
    async fn run(
        &mut self,
        rows: &mut impl Rows,
        basis: &Matrix,
        take: &mut dyn FnMut(&mut Pass, usize, usize),
    ) -> Result<f64> {
        let (height, cols) = rows.sides();
        let basis = turned(&basis.values, basis.cols, basis.rows)?;
        let mut total = 0.0;
        for first in (0..height).step_by(ROWS_TOGETHER) {
            let count = ROWS_TOGETHER.min(height - first);
            let part = &mut self.rows[..count * cols];
            rows.read(first, count, part).await?;
            total += dot(part, part);
            // Zeros where there are no more rows.
            self.rows[count * cols..].fill(0.0);
            for row in (0..count).step_by(STRIP) {
                let strip = Strip { values: &self.rows[row * cols..(row + STRIP) * cols], stride: cols, first: 0 };
                multiply(strip, &basis, self.width, &mut self.products[row * self.width..], self.width, 0);
            }
            self.products[count * self.width..].fill(0.0);
            take(self, count, first);
        }
        Ok(total)
    }

    /// Add rowsᵀ @ products to `sums` (cols × width, row by row).
    fn add_turned(&mut self, count: usize, sums: &mut [f64]) {
        let Pass { cols, width, .. } = *self;
        for first in (0..cols).step_by(COLS_TOGETHER) {
            let some = COLS_TOGETHER.min(cols - first);
            for (row, values) in self.rows.chunks_exact(cols).enumerate().take(count) {
                let places = self.turned.iter_mut().skip(row).step_by(ROWS_TOGETHER);
                values[first..first + some].iter().zip(places).for_each(|(value, place)| *place = *value);
            }
            let products = &self.products[..count * width];
            for col in (0..some).step_by(STRIP) {
                let strip = Strip {
                    values: &self.turned[col * ROWS_TOGETHER..(col + STRIP) * ROWS_TOGETHER],
                    stride: ROWS_TOGETHER,
                    first: 0,
                };
                multiply(strip, products, width, &mut self.sums[col * width..], width, 0);
            }
            let to = &mut sums[first * width..(first + some) * width];
            to.iter_mut().zip(&self.sums).for_each(|(to, sum)| *to += sum);
        }
    }
}
