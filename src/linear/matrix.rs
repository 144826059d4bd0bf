//! Matrices in f64, column by column: a column is one position of a rank.

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Real;

/// A matrix of `rows` × `cols`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Column by column.
    pub(crate) values: Vec<f64>,
}

/// Sums that are added up side by side in a [dot product](dot): as many as the vectors of most CPUs have lanes twice.
const SIDE_BY_SIDE: usize = 4;

/// Σ one · other. Element i goes to sum i % 4, and these are added up at the end: the order is the same everywhere.
pub(crate) fn dot(one: &[f64], other: &[f64]) -> f64 {
    let mut sums = [0.0; SIDE_BY_SIDE];
    let (ones, others) = (one.chunks_exact(SIDE_BY_SIDE), other.chunks_exact(SIDE_BY_SIDE));
    let rest = ones.remainder().iter().zip(others.remainder());
    let rest = rest.fold(0.0, |sum, (a, b)| sum + a * b);
    for (a, b) in ones.zip(others) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// to += factor · from.
pub(crate) fn add_multiple(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

/// `count` zeros.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice, or the count overflows.
pub(crate) fn zeros<R: Real>(count: Option<usize>) -> Result<Vec<R>> {
    let mut values = Vec::new();
    match count.filter(|&count| values.try_reserve_exact(count).is_ok()) {
        Some(count) => {
            values.resize(count, R::ZERO);
            Ok(values)
        }
        None => Err(Error::limit_exceeded("factors", "there is not enough memory for the factors of one module")
            .kind(ErrorKind::NoMemory)
            .fix("ask for a smaller rank")),
    }
}

/// The values of a matrix of `rows` × `cols`, row by row, column by column; or the other way round with the two exchanged.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice.
pub(crate) fn turned<R: Real>(values: &[R], rows: usize, cols: usize) -> Result<Vec<R>> {
    let mut turned = zeros(rows.checked_mul(cols))?;
    if rows > 0 && cols > 0 {
        for (row, values) in values.chunks_exact(cols).enumerate() {
            values.iter().zip(turned.iter_mut().skip(row).step_by(rows)).for_each(|(value, place)| *place = *value);
        }
    }
    Ok(turned)
}

impl Matrix {
    /// All zeros.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn zeros(rows: usize, cols: usize) -> Result<Matrix> {
        Ok(Matrix { rows, cols, values: zeros(rows.checked_mul(cols))? })
    }

    /// Ones on the diagonal, zeros elsewhere.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn unit(size: usize) -> Result<Matrix> {
        let mut unit = Matrix::zeros(size, size)?;
        (0..size).for_each(|at| unit.col_mut(at)[at] = 1.0);
        Ok(unit)
    }

    /// One column.
    pub(crate) fn col(&self, col: usize) -> &[f64] {
        &self.values[col * self.rows..(col + 1) * self.rows]
    }

    /// One column, to be changed.
    pub(crate) fn col_mut(&mut self, col: usize) -> &mut [f64] {
        &mut self.values[col * self.rows..(col + 1) * self.rows]
    }

    /// Two columns, the first before the second.
    pub(crate) fn two(&mut self, first: usize, second: usize) -> (&mut [f64], &mut [f64]) {
        let (before, after) = self.values.split_at_mut(second * self.rows);
        (&mut before[first * self.rows..(first + 1) * self.rows], &mut after[..self.rows])
    }

    /// The columns, one after the other.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.rows.max(1)).take(self.cols)
    }

    /// The other way round.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn transposed(&self) -> Result<Matrix> {
        Ok(Matrix { rows: self.cols, cols: self.rows, values: turned(&self.values, self.cols, self.rows)? })
    }

    /// self @ other.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn times(&self, other: &Matrix) -> Result<Matrix> {
        let mut product = Matrix::zeros(self.rows, other.cols)?;
        for (col, factors) in other.columns().enumerate() {
            let out = product.col_mut(col);
            self.columns().zip(factors).for_each(|(column, factor)| add_multiple(out, *factor, column));
        }
        Ok(product)
    }

    /// selfᵀ @ other.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn transposed_times(&self, other: &Matrix) -> Result<Matrix> {
        let mut product = Matrix::zeros(self.cols, other.cols)?;
        for (col, other) in other.columns().enumerate() {
            self.columns().zip(product.col_mut(col)).for_each(|(column, out)| *out = dot(column, other));
        }
        Ok(product)
    }

    /// The same without the columns from `cols` on.
    pub(crate) fn truncated(mut self, cols: usize) -> Matrix {
        if cols < self.cols {
            self.cols = cols;
            self.values.truncate(cols * self.rows);
        }
        self
    }

    /// Multiply each column with its factor.
    pub(crate) fn scale_columns(&mut self, factors: &[f64]) {
        for (col, factor) in factors.iter().enumerate().take(self.cols) {
            self.col_mut(col).iter_mut().for_each(|value| *value *= factor);
        }
    }
}
