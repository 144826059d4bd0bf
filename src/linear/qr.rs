//! QR by reflections: a tall matrix as orthonormal columns times a triangle.
//!
//! Golub, Van Loan, "Matrix Computations", 5.2.1 and 5.1.6 (Householder). Each reflection is applied to a column as a dot product and a sum.

use super::matrix::{Matrix, add_multiple, dot};
use crate::error::Result;

/// An orthonormal basis `q` (rows × k) and `r` (k × cols), with q @ r the matrix and k the smaller of its sides.
pub(crate) struct Qr {
    pub(crate) q: Matrix,
    pub(crate) r: Matrix,
}

/// Decompose a matrix. Its memory becomes that of `q`.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice.
pub(crate) fn qr(mut matrix: Matrix) -> Result<Qr> {
    let (rows, cols) = (matrix.rows, matrix.cols);
    let k = rows.min(cols);
    // Below the diagonal of `matrix` stand the reflections' vectors, whose lengths² / 2 are in `halves`; on it and above, R.
    let mut r = Matrix::zeros(k, cols)?;
    let mut halves = vec![0.0; k];
    for (step, half) in halves.iter_mut().enumerate() {
        let column = &mut matrix.col_mut(step)[step..];
        let norm = dot(column, column).sqrt();
        // Away from zero, so that nothing cancels.
        let alpha = if column[0] > 0.0 { -norm } else { norm };
        r.col_mut(step)[step] = alpha;
        column[0] -= alpha;
        // vᵀv / 2 = norm² − alpha · x₀.
        *half = -alpha * column[0];
        for col in step + 1..cols {
            let (vector, other) = matrix.two(step, col);
            reflect(&vector[step..], *half, &mut other[step..]);
            r.col_mut(col)[step] = other[step];
        }
    }
    // The last reflection first: Q is what they make of the first k unit vectors. Each column of Q takes the place of its vector.
    let mut q = matrix.truncated(k);
    for step in (0..k).rev() {
        for col in step + 1..k {
            let (vector, other) = q.two(step, col);
            reflect(&vector[step..], halves[step], &mut other[step..]);
        }
        let column = q.col_mut(step);
        let first = column[step];
        let factor = if halves[step] > 0.0 { -first / halves[step] } else { 0.0 };
        column[step..].iter_mut().for_each(|value| *value *= factor);
        column[step] += 1.0;
        column[..step].fill(0.0);
    }
    Ok(Qr { q, r })
}

/// other −= v · (vᵀ other) / (vᵀv / 2).
fn reflect(vector: &[f64], half: f64, other: &mut [f64]) {
    if half > 0.0 {
        add_multiple(other, -dot(vector, other) / half, vector);
    }
}
