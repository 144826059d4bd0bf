//! Thin matrices row by row, in the type that the passes compute in; what is computed of them is in f64.

use super::matrix::{Matrix, turned, zeros};
use super::symmetric::symmetric;
use crate::error::{Error, Result};
use crate::kernel::{Left, Real, STRIP, Strip, column_squares, multiply, scale_columns};
use crate::tensor::philox::random_block;

/// A matrix of many rows and few columns, row by row.
#[derive(Debug)]
pub(crate) struct Thin<R> {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) values: Vec<R>,
}

/// Rows that are taken together: of f64 they stay in the first cache.
const ROWS_TOGETHER: usize = 64;

impl<R: Real> Thin<R> {
    /// All zeros.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn zeros(rows: usize, width: usize) -> Result<Thin<R>> {
        Ok(Thin { rows, width, values: zeros(rows.checked_mul(width))? })
    }

    /// Random numbers between −1 and 1.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros).
    pub(crate) fn random(rows: usize, width: usize, key: u64) -> Result<Thin<R>> {
        let mut matrix = Thin::zeros(rows, width)?;
        for (block, values) in matrix.values.chunks_mut(4).enumerate() {
            for (value, number) in values.iter_mut().zip(random_block(block as u64, key)) {
                *value = R::from_f64(f64::from(number as i32) / (1u64 << 31) as f64);
            }
        }
        Ok(matrix)
    }

    /// Its left singular vectors, the one of the largest value first, as far as they can be told from one another. Those of the smallest
    /// values are what rounding has left of them: other directions, as good as random ones.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros).
    pub(crate) fn principal(&self) -> Result<Thin<R>> {
        let turn = eigenvectors(gram(&[self])?)?;
        let turn: Vec<R> = turned(&turn.values, turn.cols, turn.rows)?.into_iter().map(R::from_f64).collect();
        let mut vectors = Thin::zeros(self.rows, self.width)?;
        let left =
            Left { values: &self.values, rows: self.rows, depth: self.width, row_step: self.width, depth_step: 1 };
        R::add_product(left, &turn, self.width, &mut vectors.values);
        let mut squares = vec![0.0; self.width];
        column_squares(&vectors.values, self.width, &mut squares);
        let inverse = |square: f64| R::from_f64(if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 });
        let inverses: Vec<R> = squares.into_iter().map(inverse).collect();
        scale_columns(&mut vectors.values, self.width, &inverses);
        Ok(vectors)
    }
}

/// Hand over the rows of some thin matrices, side by side, in f64: [`ROWS_TOGETHER`] at a time, with zeros behind the last ones.
fn each_rows<R: Real>(parts: &[&Thin<R>], take: &mut dyn FnMut(usize, &[f64]) -> Result<()>) -> Result<()> {
    let width: usize = parts.iter().map(|part| part.width).sum();
    let rows = parts.first().map_or(0, |part| part.rows);
    let mut some = zeros(width.checked_mul(ROWS_TOGETHER))?;
    for first in (0..rows).step_by(ROWS_TOGETHER) {
        let count = ROWS_TOGETHER.min(rows - first);
        let mut at = 0;
        for part in parts {
            let from = part.values.chunks_exact(part.width.max(1)).skip(first);
            for (to, from) in some.chunks_exact_mut(width.max(1)).take(count).zip(from) {
                to[at..at + part.width].iter_mut().zip(from).for_each(|(to, &from)| *to = from.into());
            }
            at += part.width;
        }
        some[count * width..].fill(0.0);
        take(first, &some)?;
    }
    Ok(())
}

/// All inner products of the columns of some thin matrices, which stand side by side.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice.
pub(crate) fn gram<R: Real>(parts: &[&Thin<R>]) -> Result<Matrix> {
    let width: usize = parts.iter().map(|part| part.width).sum();
    let mut products = Matrix::zeros(width, width)?;
    let mut sums = zeros(width.checked_mul(STRIP))?;
    each_rows(parts, &mut |_, rows| {
        let columns = turned(rows, ROWS_TOGETHER, width)?;
        for (strip, out) in products.values.chunks_mut((STRIP * width).max(1)).enumerate() {
            let values = &columns[strip * STRIP * ROWS_TOGETHER..(strip + 1) * STRIP * ROWS_TOGETHER];
            multiply(Strip { values, stride: ROWS_TOGETHER, first: 0 }, rows, width, &mut sums, width, 0);
            out.iter_mut().zip(&sums).for_each(|(out, sum)| *out += sum);
        }
        Ok(())
    })?;
    Ok(products)
}

/// The eigenvectors of a matrix of inner products, that of the largest value first.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice; `non-finite` where a value is NaN or infinite.
pub(crate) fn eigenvectors(products: Matrix) -> Result<Matrix> {
    let found =
        symmetric(products)?.ok_or_else(|| Error::non_finite("factors", 0, "a singular value is beyond f64"))?;
    Ok(found.vectors)
}

/// Some thin matrices, side by side, times a small one.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice.
pub(crate) fn times<R: Real>(parts: &[&Thin<R>], small: &Matrix) -> Result<Matrix> {
    let (rows, width) = (parts.first().map_or(0, |part| part.rows), small.rows);
    let mut product = Matrix::zeros(rows, small.cols)?;
    let by_row = turned(&small.values, small.cols, small.rows)?;
    let mut sums = zeros(small.cols.checked_mul(STRIP))?;
    each_rows(parts, &mut |first, some| {
        for (strip, values) in some.chunks_exact((STRIP * width).max(1)).enumerate() {
            multiply(Strip { values, stride: width, first: 0 }, &by_row, small.cols, &mut sums, small.cols, 0);
            let first = first + strip * STRIP;
            for (row, sums) in (first..rows).zip(sums.chunks_exact(small.cols.max(1))) {
                let places = product.values.iter_mut().skip(row).step_by(rows);
                sums.iter().zip(places).for_each(|(sum, place)| *place = *sum);
            }
        }
        Ok(())
    })?;
    Ok(product)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factors::matrix::dot;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn dense<R: Real>(parts: &[&Thin<R>]) -> Matrix {
        let rows = parts[0].rows;
        let columns = parts.iter().flat_map(|part| {
            (0..part.width).flat_map(|col| part.values.iter().skip(col).step_by(part.width).map(|&value| value.into()))
        });
        Matrix { rows, cols: parts.iter().map(|part| part.width).sum(), values: columns.collect() }
    }

    fn distance(one: &Matrix, other: &Matrix) -> f64 {
        assert_eq!((one.rows, one.cols), (other.rows, other.cols));
        one.values.iter().zip(&other.values).fold(0.0, |largest, (one, other)| f64::max(largest, (one - other).abs()))
    }

    #[test]
    fn products_are_those_of_dense_matrices() {
        for rows in [1, 63, 64, 150] {
            let (one, other) = (Thin::<f32>::random(rows, 8, 3).unwrap(), Thin::<f32>::random(rows, 16, 4).unwrap());
            let both = dense(&[&one, &other]);
            assert_eq!(both.cols, 24);
            let products = gram(&[&one, &other]).unwrap();
            assert!(distance(&products, &both.transposed_times(&both).unwrap()) < 1e-12, "{rows}");
            let small = dense(&[&Thin::<f64>::random(24, 8, 5).unwrap()]).truncated(5);
            let product = times(&[&one, &other], &small).unwrap();
            assert!(distance(&product, &both.times(&small).unwrap()) < 1e-12, "{rows}");
        }
    }

    #[test]
    fn principal_vectors_are_of_length_1_and_at_right_angles() {
        let mut thin = Thin::<f32>::random(200, 8, 6).unwrap();
        // One far longer than the others, and one of zeros.
        thin.values.iter_mut().step_by(8).for_each(|value| *value *= 1e3);
        thin.values.iter_mut().skip(5).step_by(8).for_each(|value| *value = 0.0);
        let vectors = dense(&[&thin.principal().unwrap()]);
        let products = vectors.transposed_times(&vectors).unwrap();
        // The last one is noise.
        for col in 0..7 {
            for row in 0..7 {
                let expected = if row == col { 1.0 } else { 0.0 };
                assert!((products.col(col)[row] - expected).abs() < 1e-4, "{row}, {col}: {}", products.col(col)[row]);
            }
        }
        let first = dense(&[&thin]);
        let along = dot(first.col(0), vectors.col(0)) / dot(first.col(0), first.col(0)).sqrt();
        assert!(along.abs() > 1.0 - 1e-6, "{along}");
    }
}
