//! The singular value decomposition of a small matrix, by one-sided Jacobi rotations.
//!
//! Hestenes 1958; Demmel and Veselić, "Jacobi's method is more accurate than QR" (SIAM J. Matrix Anal. 13, 1992). Pairs of columns are turned
//! until all are orthogonal: their lengths are the singular values. It needs additions, products, quotients and square roots alone, which are
//! the same on every machine.

use super::matrix::{Matrix, dot};
use crate::error::{Error, Result};
use crate::order::sort_by;

/// A matrix as `u` @ diag(`values`) @ `v`ᵀ, the largest value first. As many values as its smaller side has.
#[derive(Debug)]
pub(crate) struct Svd {
    pub(crate) u: Matrix,
    pub(crate) values: Vec<f64>,
    pub(crate) v: Matrix,
}

/// Columns whose angle is this close to a right one are orthogonal.
const ORTHOGONAL: f64 = 1e-15;

/// Each pair of columns is turned so often at most. Ten suffice as a rule.
const SWEEPS: usize = 60;

/// Decompose a matrix.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice; `non-finite` where a value is NaN or infinite, or its square is.
pub(crate) fn svd(matrix: Matrix) -> Result<Svd> {
    if matrix.cols > matrix.rows {
        let Svd { u, values, v } = svd(matrix.transposed()?)?;
        return Ok(Svd { u: v, values, v: u });
    }
    let mut u = matrix;
    let mut v = Matrix::unit(u.cols)?;
    for _ in 0..SWEEPS {
        if !sweep(&mut u, &mut v) {
            break;
        }
    }
    let lengths: Vec<f64> = u.columns().map(|column| dot(column, column).sqrt()).collect();
    if let Some(at) = lengths.iter().position(|length| !length.is_finite()) {
        return Err(Error::non_finite("factors", at as u64, "a singular value is beyond f64"));
    }
    let mut order: Vec<usize> = (0..u.cols).collect();
    sort_by(&mut order, |&one, &other| lengths[other].total_cmp(&lengths[one]).then(one.cmp(&other)));
    let inverse = |at: &usize| if lengths[*at] > 0.0 { 1.0 / lengths[*at] } else { 0.0 };
    let inverses: Vec<f64> = order.iter().map(inverse).collect();
    let (mut u, v) = (in_order(&u, &order)?, in_order(&v, &order)?);
    u.scale_columns(&inverses);
    Ok(Svd { u, values: order.iter().map(|&at| lengths[at]).collect(), v })
}

/// Turn every pair of columns once, and `v` with them. Whether any was not orthogonal before.
fn sweep(u: &mut Matrix, v: &mut Matrix) -> bool {
    let mut turned = false;
    for first in 0..u.cols {
        for second in first + 1..u.cols {
            let (one, other) = u.two(first, second);
            let (alpha, beta, gamma) = (dot(one, one), dot(other, other), dot(one, other));
            // Where one is NaN, nothing is turned.
            let is_right = gamma.abs() <= ORTHOGONAL * (alpha * beta).sqrt();
            if is_right || gamma.is_nan() || gamma == 0.0 {
                continue;
            }
            turned = true;
            let zeta = (beta - alpha) / (2.0 * gamma);
            let tangent = 1.0 / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
            let tangent = if zeta < 0.0 { -tangent } else { tangent };
            let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
            turn(one, other, cosine, cosine * tangent);
            let (one, other) = v.two(first, second);
            turn(one, other, cosine, cosine * tangent);
        }
    }
    turned
}

fn turn(one: &mut [f64], other: &mut [f64], cosine: f64, sine: f64) {
    for (one, other) in one.iter_mut().zip(other) {
        (*one, *other) = (cosine * *one - sine * *other, sine * *one + cosine * *other);
    }
}

fn in_order(matrix: &Matrix, order: &[usize]) -> Result<Matrix> {
    let mut sorted = Matrix::zeros(matrix.rows, order.len())?;
    order.iter().enumerate().for_each(|(to, &from)| sorted.col_mut(to).copy_from_slice(matrix.col(from)));
    Ok(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::Random;
    use crate::linear::qr::{Qr, qr};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn random(rows: usize, cols: usize, random: &mut Random) -> Matrix {
        Matrix { rows, cols, values: (0..rows * cols).map(|_| random.weight()).collect() }
    }

    fn distance(one: &Matrix, other: &Matrix) -> f64 {
        assert_eq!((one.rows, one.cols), (other.rows, other.cols));
        one.values.iter().zip(&other.values).fold(0.0, |largest, (one, other)| f64::max(largest, (one - other).abs()))
    }

    fn is_orthonormal(matrix: &Matrix) -> bool {
        let product = matrix.transposed_times(matrix).unwrap();
        let mut unit = Matrix::zeros(matrix.cols, matrix.cols).unwrap();
        (0..matrix.cols).for_each(|col| unit.col_mut(col)[col] = 1.0);
        distance(&product, &unit) < 1e-13
    }

    const SIDES: [(usize, usize); 8] = [(1, 1), (5, 1), (1, 6), (7, 7), (40, 9), (9, 40), (130, 33), (3, 2)];

    #[test]
    fn qr_gives_the_matrix_and_an_orthonormal_basis() {
        let mut numbers = Random(5);
        for (rows, cols) in SIDES {
            let mut matrix = random(rows, cols, &mut numbers);
            for _ in 0..2 {
                let Qr { q, r } = qr(matrix.clone()).unwrap();
                assert!(distance(&q.times(&r).unwrap(), &matrix) < 1e-13, "{rows} × {cols}");
                assert!(is_orthonormal(&q), "{rows} × {cols}");
                assert!((0..r.cols).all(|col| r.col(col).iter().skip(col + 1).all(|value| *value == 0.0)));
                // Now one of zeros, and two that are alike.
                matrix.col_mut(0).fill(0.0);
                if cols > 2 {
                    let copy = matrix.col(1).to_vec();
                    matrix.col_mut(2).copy_from_slice(&copy);
                }
            }
        }
    }

    #[test]
    fn the_decomposition_gives_the_matrix() {
        let mut numbers = Random(6);
        for (rows, cols) in SIDES {
            let mut matrix = random(rows, cols, &mut numbers);
            let Svd { u, values, v } = svd(matrix.clone()).unwrap();
            assert!(values.is_sorted_by(|one, other| one >= other) && values.len() == rows.min(cols));
            assert!(is_orthonormal(&u) && is_orthonormal(&v), "{rows} × {cols}");
            let factors = Svd { u, values, v }.factors(rows.min(cols));
            let product = factors.left.times(&factors.right.transposed().unwrap()).unwrap();
            assert!(distance(&product, &matrix) < 1e-13, "{rows} × {cols}");
            matrix.values.fill(0.0);
            assert!(svd(matrix).unwrap().values.iter().all(|value| *value == 0.0));
        }
        let infinite = Matrix { rows: 1, cols: 2, values: vec![f64::INFINITY, 1.0] };
        assert_eq!(svd(infinite).unwrap_err().code(), "non-finite");
    }
}
