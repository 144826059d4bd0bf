//! Eigenvectors of a small symmetric matrix: reflections make it tridiagonal, rotations make that diagonal.
//!
//! Golub, Van Loan, "Matrix Computations", 8.3.1 (Householder) and 8.3.3 (the implicit step, here from below, as in EISPACK's tql2). About 9 n³
//! operations, where one-sided Jacobi takes a hundred. It needs additions, products, quotients and square roots alone.

use super::matrix::{Matrix, add_multiple, dot};
use super::svd::{in_order, turn};
use crate::error::{Error, Result};
use crate::order::sort_by;

/// Steps for one value at most. Two suffice as a rule.
const STEPS: usize = 60;

/// The eigenvectors of a symmetric matrix, that of the largest value first. They are as exact as the largest value allows.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice; `non-finite` where a value is NaN or infinite, or its square is.
pub(crate) fn eigenvectors(matrix: Matrix) -> Result<Matrix> {
    Ok(symmetric(matrix)?.1)
}

/// The values, the largest first, and their vectors.
fn symmetric(matrix: Matrix) -> Result<(Vec<f64>, Matrix)> {
    let (mut vectors, mut values, mut beside) = tridiagonal(matrix)?;
    diagonal(&mut vectors, &mut values, &mut beside);
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::non_finite("factors", at as u64, "a singular value is beyond f64"));
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    sort_by(&mut order, |&one, &other| values[other].total_cmp(&values[one]).then(one.cmp(&other)));
    Ok((order.iter().map(|&at| values[at]).collect(), in_order(&vectors, &order)?))
}

/// Q, and the diagonals of QᵀAQ: the main one, and the one beside it, which has a zero at its end.
fn tridiagonal(mut matrix: Matrix) -> Result<(Matrix, Vec<f64>, Vec<f64>)> {
    let size = matrix.cols;
    let mut beside = vec![0.0; size];
    let mut halves = vec![0.0; size];
    let mut change = vec![0.0; size];
    // The vectors of the reflections stand below the diagonal of the columns that they have cleared.
    for step in 0..size.saturating_sub(1) {
        let below = step + 1;
        let column = &mut matrix.col_mut(step)[below..];
        let norm = dot(column, column).sqrt();
        let alpha = if column[0] > 0.0 { -norm } else { norm };
        beside[step] = alpha;
        column[0] -= alpha;
        let half = -alpha * column[0];
        halves[step] = half;
        if half.is_nan() || half <= 0.0 {
            continue;
        }
        let vector = column.to_vec();
        let change = &mut change[below..];
        for (at, place) in change.iter_mut().enumerate() {
            *place = dot(&matrix.col(below + at)[below..], &vector) / half;
        }
        let factor = dot(change, &vector) / (2.0 * half);
        add_multiple(change, -factor, &vector);
        for (at, (of_vector, of_change)) in vector.iter().zip(change.iter()).enumerate() {
            let column = &mut matrix.col_mut(below + at)[below..];
            add_multiple(column, -of_change, &vector);
            add_multiple(column, -of_vector, change);
        }
    }
    let values = (0..size).map(|at| matrix.col(at)[at]).collect();
    // The last reflection first: Q is what they make of the unit vectors.
    let mut q = Matrix::unit(size)?;
    for step in (0..size.saturating_sub(1)).rev().filter(|&step| halves[step] > 0.0) {
        let vector = &matrix.col(step)[step + 1..];
        for at in step + 1..size {
            let column = &mut q.col_mut(at)[step + 1..];
            add_multiple(column, -dot(vector, column) / halves[step], vector);
        }
    }
    Ok((q, values, beside))
}

/// Make a tridiagonal matrix diagonal, and turn the columns of `vectors` with it.
fn diagonal(vectors: &mut Matrix, values: &mut [f64], beside: &mut [f64]) {
    let size = values.len();
    for first in 0..size {
        for _ in 0..STEPS {
            // As far as the part goes that hangs together.
            let small = |at: usize| beside[at].abs() <= f64::EPSILON * (values[at].abs() + values[at + 1].abs());
            let last = (first..size - 1).find(|&at| small(at)).unwrap_or(size - 1);
            if last == first {
                break;
            }
            let shift = (values[first + 1] - values[first]) / (2.0 * beside[first]);
            let root = (shift * shift + 1.0).sqrt();
            let mut ahead =
                values[last] - values[first] + beside[first] / (shift + if shift < 0.0 { -root } else { root });
            let (mut sine, mut cosine, mut moved) = (1.0, 1.0, 0.0);
            let mut whole = true;
            for at in (first..last).rev() {
                let (up, down) = (sine * beside[at], cosine * beside[at]);
                let length = (up * up + ahead * ahead).sqrt();
                beside[at + 1] = length;
                if length == 0.0 {
                    values[at + 1] -= moved;
                    beside[last] = 0.0;
                    whole = false;
                    break;
                }
                (sine, cosine) = (up / length, ahead / length);
                let value = values[at + 1] - moved;
                let sum = (values[at] - value) * sine + 2.0 * cosine * down;
                moved = sine * sum;
                values[at + 1] = value + moved;
                ahead = cosine * sum - down;
                let (one, other) = vectors.two(at, at + 1);
                turn(one, other, cosine, sine);
            }
            if whole {
                values[first] -= moved;
                beside[first] = ahead;
                beside[last] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// What is left of A V − V diag(values), and of VᵀV − 1: the largest, beside the largest value of A.
    fn error(matrix: &Matrix, (values, vectors): &(Vec<f64>, Matrix)) -> f64 {
        let size = matrix.cols;
        let product = matrix.times(vectors).unwrap();
        let unit = vectors.transposed_times(vectors).unwrap();
        let mut largest = 0.0f64;
        for (col, value) in values.iter().enumerate() {
            for row in 0..size {
                let of_product = product.col(col)[row] - value * vectors.col(col)[row];
                let of_unit = unit.col(col)[row] - if row == col { 1.0 } else { 0.0 };
                largest = largest.max(of_product.abs()).max(of_unit.abs());
            }
        }
        let scale = matrix.values.iter().fold(1e-300f64, |largest, value| largest.max(value.abs()));
        largest / scale.max(1.0)
    }

    #[test]
    fn vectors_are_orthonormal_and_give_the_matrix() {
        let mut random = Random(53);
        for size in [0, 1, 2, 3, 5, 16, 33, 48] {
            for kind in 0..5 {
                let mut matrix = Matrix::zeros(size, size).unwrap();
                for col in 0..size {
                    for row in 0..=col {
                        let value = match kind {
                            0 => random.unit(),
                            // Diagonal, all alike, zero, and of rank 1.
                            1 => {
                                if row == col {
                                    random.unit()
                                } else {
                                    0.0
                                }
                            }
                            2 => {
                                if row == col {
                                    0.5
                                } else {
                                    0.0
                                }
                            }
                            3 => 0.0,
                            _ => 0.7f64.powi((row + col) as i32),
                        };
                        matrix.col_mut(col)[row] = value;
                        matrix.col_mut(row)[col] = value;
                    }
                }
                let found = symmetric(matrix.clone()).unwrap();
                assert!(found.0.is_sorted_by(|one, other| one >= other));
                assert!(error(&matrix, &found) < 1e-13, "{size}, {kind}: {:e}", error(&matrix, &found));
            }
        }
        let infinite = Matrix { rows: 2, cols: 2, values: vec![f64::INFINITY, 1.0, 1.0, f64::NAN] };
        assert_eq!(symmetric(infinite).unwrap_err().code(), "non-finite");
    }

    /// The values of a chain of masses: 2 − 2 cos(kπ / (n + 1)).
    #[test]
    fn values_are_those_that_are_known() {
        let size = 21;
        let mut chain = Matrix::zeros(size, size).unwrap();
        for at in 0..size {
            chain.col_mut(at)[at] = 2.0;
            if at > 0 {
                chain.col_mut(at)[at - 1] = -1.0;
                chain.col_mut(at - 1)[at] = -1.0;
            }
        }
        let values = symmetric(chain).unwrap().0;
        for (value, k) in values.into_iter().zip((1..=size).rev()) {
            let known = 2.0 - 2.0 * (std::f64::consts::PI * k as f64 / (size + 1) as f64).cos();
            assert!((value - known).abs() < 1e-14, "{value} is not {known}");
        }
    }
}
