//! An orthonormal basis of columns of which only the inner products are known, without those that are nearly in the span of the others.

use super::matrix::Matrix;
use crate::error::Result;
use crate::tensor::Float;

/// How far a column must be from the span of those before it, as a share of its length.
///
/// Rounding errors of a column are a share of its length, too: what is divided by the distance makes them larger by the inverse of this. In f32
/// they are about 10⁻⁷.
fn least_distance(float: Float) -> f64 {
    if float == Float::F64 { 1e-5 } else { 1e-3 }
}

/// C, so that Y C has orthonormal columns, of Yᵀ Y: Cholesky's decomposition of the columns at length 1, and its inverse.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice.
pub(crate) fn independent(products: &Matrix, float: Float) -> Result<Matrix> {
    let size = products.cols;
    let least = least_distance(float);
    let lengths: Vec<f64> = (0..size).map(|at| products.col(at)[at].sqrt()).collect();
    // Columns of R, and of C.
    let mut triangle: Vec<Vec<f64>> = Vec::new();
    let mut kept: Vec<usize> = Vec::new();
    let mut basis = Matrix::zeros(size, size)?;
    for (at, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0.0) {
        let mut column = Vec::with_capacity(kept.len() + 1);
        for (&other, of_other) in kept.iter().zip(&triangle) {
            let known: f64 = of_other.iter().zip(&column).map(|(one, other)| one * other).sum();
            let diagonal = of_other.last().copied().unwrap_or(1.0);
            column.push((products.col(at)[other] / length / lengths[other] - known) / diagonal);
        }
        let square = 1.0 - column.iter().map(|value| value * value).sum::<f64>();
        // Also where it is NaN.
        if square.is_nan() || square <= least * least {
            continue;
        }
        let distance = square.sqrt();
        // The column, less what it has of those before.
        let number = kept.len();
        for (other, factor) in column.iter().enumerate() {
            let (of_other, of_this) = basis.two(other, number);
            of_this.iter_mut().zip(of_other).for_each(|(to, from)| *to -= factor * *from);
        }
        let of_this = basis.col_mut(number);
        of_this[at] += 1.0 / length;
        of_this.iter_mut().for_each(|value| *value /= distance);
        column.push(distance);
        triangle.push(column);
        kept.push(at);
    }
    Ok(basis.truncated(kept.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_basis_is_orthonormal_and_leaves_out_what_depends_on_others() {
        let mut random = Random(59);
        let values = (0..40 * 9).map(|_| random.unit()).collect();
        let mut columns = Matrix { rows: 40, cols: 9, values };
        // One is zero, one nearly a sum of two others, and one is short.
        columns.col_mut(2).fill(0.0);
        let sum: Vec<f64> = columns.col(0).iter().zip(columns.col(1)).map(|(one, other)| one + other).collect();
        columns.col_mut(5).copy_from_slice(&sum);
        columns.col_mut(5)[0] += 1e-6;
        columns.col_mut(7).iter_mut().for_each(|value| *value *= 1e-9);
        let basis = independent(&columns.transposed_times(&columns).unwrap(), Float::F32).unwrap();
        assert_eq!(basis.cols, 7);
        let orthonormal = columns.times(&basis).unwrap();
        let products = orthonormal.transposed_times(&orthonormal).unwrap();
        for col in 0..7 {
            for row in 0..7 {
                let expected = if row == col { 1.0 } else { 0.0 };
                assert!((products.col(col)[row] - expected).abs() < 1e-12, "{row}, {col}");
            }
        }
    }
}
