//! The eigenvalues and eigenvectors of a symmetric matrix.
//!
//! Golub, Van Loan, "Matrix Computations", 8.3: reflections make the matrix tridiagonal, and rotations diagonal (the implicit QL method of EISPACK's
//! `tql2`). Columns are contiguous, so every step is a dot product, a sum or a rotation of whole columns.

use super::matrix::{Matrix, add_multiple, dot};
use crate::error::Result;
use crate::order::sort_by;

/// Eigenvalues, the largest first, and a column for each.
pub(crate) struct Symmetric {
    pub(crate) values: Vec<f64>,
    pub(crate) vectors: Matrix,
}

/// Steps for one eigenvalue at most. Two suffice as a rule.
const STEPS: usize = 60;

/// Decompose a symmetric matrix, of which the part on and below the diagonal is read. Nothing where a value is NaN or infinite.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice.
pub(crate) fn symmetric(mut matrix: Matrix) -> Result<Option<Symmetric>> {
    let n = matrix.cols;
    let largest = matrix.values.iter().fold(0.0, |largest, value| f64::max(largest, value.abs()));
    if !matrix.values.iter().all(|value| value.is_finite()) {
        return Ok(None);
    }
    // Near 1 nothing overflows when it is squared.
    let scale = if largest > 0.0 { largest } else { 1.0 };
    matrix.values.iter_mut().for_each(|value| *value /= scale);
    let (mut diagonal, mut beside, mut vectors) = tridiagonal(matrix)?;
    if !rotate(&mut diagonal, &mut beside, &mut vectors) {
        return Ok(None);
    }
    let mut order: Vec<usize> = (0..n).collect();
    sort_by(&mut order, |&one, &other| diagonal[other].total_cmp(&diagonal[one]).then(one.cmp(&other)));
    let mut sorted = Matrix::zeros(n, n)?;
    order.iter().enumerate().for_each(|(to, &from)| sorted.col_mut(to).copy_from_slice(vectors.col(from)));
    Ok(Some(Symmetric { values: order.iter().map(|&at| diagonal[at] * scale).collect(), vectors: sorted }))
}

/// The diagonal, what stands beside it (element k beside k and k + 1; one more that is 0), and Q, with Q @ T @ Qᵀ the matrix.
fn tridiagonal(mut matrix: Matrix) -> Result<(Vec<f64>, Vec<f64>, Matrix)> {
    let n = matrix.cols;
    // Both triangles: then every product is one of whole columns.
    for col in 0..n {
        for row in col + 1..n {
            matrix.values[row * n + col] = matrix.values[col * n + row];
        }
    }
    let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n]);
    // A reflection's vector is kept in its column, below the diagonal; half the square of its length here.
    let mut halves = vec![0.0; n];
    let mut turned = vec![0.0; n];
    for step in 0..n {
        diagonal[step] = matrix.col(step)[step];
        if step + 1 == n {
            break;
        }
        let (before, after) = matrix.values.split_at_mut((step + 1) * n);
        let vector = &mut before[step * n + step + 1..];
        let norm = dot(vector, vector).sqrt();
        // Away from zero, so that nothing cancels.
        let alpha = if vector[0] > 0.0 { -norm } else { norm };
        beside[step] = alpha;
        vector[0] -= alpha;
        halves[step] = -alpha * vector[0];
        if halves[step] <= 0.0 {
            halves[step] = 0.0;
            continue;
        }
        // What is left of the matrix: M − v wᵀ − w vᵀ, w = p − v (vᵀp) / (2 h), p = M v / h, h = vᵀv / 2.
        let w = &mut turned[step + 1..];
        for (value, column) in w.iter_mut().zip(after.chunks_exact(n)) {
            *value = dot(&column[step + 1..], vector) / halves[step];
        }
        let part = dot(vector, w) / (2.0 * halves[step]);
        add_multiple(w, -part, vector);
        for ((column, &of_vector), &of_w) in after.chunks_exact_mut(n).zip(&*vector).zip(&*w) {
            let column = &mut column[step + 1..];
            add_multiple(column, -of_w, vector);
            add_multiple(column, -of_vector, w);
        }
    }
    // The last reflection first. It changes nothing on or before its column's diagonal.
    let mut vectors = Matrix::zeros(n, n)?;
    (0..n).for_each(|col| vectors.col_mut(col)[col] = 1.0);
    for step in (0..n.saturating_sub(1)).rev().filter(|&step| halves[step] > 0.0) {
        let vector = &matrix.col(step)[step + 1..];
        for col in step + 1..n {
            let column = &mut vectors.col_mut(col)[step + 1..];
            add_multiple(column, -dot(vector, column) / halves[step], vector);
        }
    }
    Ok((diagonal, beside, vectors))
}

/// Make a tridiagonal matrix diagonal, and turn `vectors` with it. Whether that was possible.
fn rotate(diagonal: &mut [f64], beside: &mut [f64], vectors: &mut Matrix) -> bool {
    let n = diagonal.len();
    let sizes = diagonal.iter().zip(&*beside).map(|(value, beside)| value.abs() + beside.abs());
    let least = f64::EPSILON * sizes.fold(0.0, f64::max);
    for first in 0..n {
        for step in 0.. {
            // The block that begins with `first` ends where what stands beside the diagonal does not count.
            let last = (first..n - 1).find(|&at| beside[at].abs() <= least).unwrap_or(n - 1);
            if last == first {
                break;
            }
            if step == STEPS {
                return false;
            }
            // Wilkinson's shift.
            let ratio = (diagonal[first + 1] - diagonal[first]) / (2.0 * beside[first]);
            let length = (ratio * ratio + 1.0).sqrt();
            let length = if ratio < 0.0 { -length } else { length };
            let mut g = diagonal[last] - diagonal[first] + beside[first] / (ratio + length);
            let (mut sine, mut cosine, mut moved) = (1.0, 1.0, 0.0);
            let mut split = false;
            for at in (first..last).rev() {
                let (f, b) = (sine * beside[at], cosine * beside[at]);
                let radius = (f * f + g * g).sqrt();
                beside[at + 1] = radius;
                if radius == 0.0 {
                    // It falls apart here.
                    diagonal[at + 1] -= moved;
                    beside[last] = 0.0;
                    split = true;
                    break;
                }
                (sine, cosine) = (f / radius, g / radius);
                g = diagonal[at + 1] - moved;
                let rest = (diagonal[at] - g) * sine + 2.0 * cosine * b;
                moved = sine * rest;
                diagonal[at + 1] = g + moved;
                g = cosine * rest - b;
                let (one, other) = vectors.two(at, at + 1);
                for (one, other) in one.iter_mut().zip(other) {
                    (*one, *other) = (cosine * *one - sine * *other, sine * *one + cosine * *other);
                }
            }
            if !split {
                diagonal[first] -= moved;
                beside[first] = g;
                beside[last] = 0.0;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::Random;
    use crate::linear::svd::svd;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn distance(one: &Matrix, other: &Matrix) -> f64 {
        one.values.iter().zip(&other.values).fold(0.0, |largest, (one, other)| f64::max(largest, (one - other).abs()))
    }

    /// Symmetric matrices of all kinds: random, with equal eigenvalues, of small rank, diagonal, and of zeros.
    fn matrices(n: usize, random: &mut Random) -> Vec<Matrix> {
        let mut one = Matrix::zeros(n, n).unwrap();
        one.values.iter_mut().for_each(|value| *value = random.weight());
        let square = one.transposed_times(&one).unwrap();
        let thin = one.clone().truncated(n.div_ceil(3)).transposed().unwrap();
        let thin = thin.transposed_times(&thin).unwrap();
        let mut indefinite = square.clone();
        let mut unit = Matrix::zeros(n, n).unwrap();
        for at in 0..n {
            indefinite.values[at * n + at] -= 0.4;
            unit.values[at * n + at] = 3.0;
        }
        let mut huge = square.clone();
        huge.values.iter_mut().for_each(|value| *value *= 1e200);
        vec![square, thin, indefinite, unit, Matrix::zeros(n, n).unwrap(), huge]
    }

    #[test]
    fn vectors_and_values_give_the_matrix() {
        let mut random = Random(11);
        for n in [1, 2, 3, 8, 37, 90] {
            for matrix in matrices(n, &mut random) {
                let Symmetric { values, vectors } = symmetric(matrix.clone()).unwrap().unwrap();
                assert!(values.is_sorted_by(|one, other| one >= other) && values.len() == n);
                let largest = values.iter().fold(1e-300, |largest, value| f64::max(largest, value.abs()));
                let mut scaled = vectors.clone();
                scaled.scale_columns(&values);
                let product = scaled.times(&vectors.transposed().unwrap()).unwrap();
                assert!(distance(&product, &matrix) < 1e-14 * largest * (n as f64).sqrt().max(4.0), "{n}");
                let mut unit = Matrix::zeros(n, n).unwrap();
                (0..n).for_each(|col| unit.col_mut(col)[col] = 1.0);
                assert!(distance(&vectors.transposed_times(&vectors).unwrap(), &unit) < 1e-13, "{n}");
            }
        }
    }

    #[test]
    fn the_values_are_those_of_the_decomposition_by_jacobi() {
        let matrix = matrices(60, &mut Random(12)).swap_remove(0);
        let found = symmetric(matrix.clone()).unwrap().unwrap().values;
        let largest = found[0];
        for (found, known) in found.iter().zip(svd(matrix).unwrap().values) {
            assert!((found - known).abs() < 1e-14 * largest, "{found} is not {known}");
        }
    }

    #[test]
    fn what_is_no_number_has_no_eigenvalues() {
        let mut matrix = Matrix::zeros(2, 2).unwrap();
        matrix.values[1] = f64::NAN;
        assert!(symmetric(matrix).unwrap().is_none());
    }
}
