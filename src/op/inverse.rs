//! Inverses of small square matrices, for methods whose merge is taken back.

use super::Given;
use crate::error::Error;

/// A pivot that is smaller than the largest value of the matrix by this factor is what rounding left of 0.
const SINGULAR: f64 = 1e-13;

/// Replaces a matrix, side × side, by its inverse: Gauss and Jordan's elimination, with row exchanges. False, and any values, where it has none.
pub(super) fn invert(matrix: &mut [f64], side: usize) -> bool {
    let largest = matrix.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let mut exchanged = Vec::with_capacity(side);
    for step in 0..side {
        let size = |row: usize| matrix[row * side + step].abs();
        let best = (step..side).fold(step, |best, row| if size(row) > size(best) { row } else { best });
        let pivot = matrix[best * side + step];
        // Written so that NaN is refused, too.
        if !(pivot.abs() > SINGULAR * largest && largest.is_finite()) {
            return false;
        }
        exchanged.push(best);
        if best != step {
            let (above, below) = matrix.split_at_mut(best * side);
            above[step * side..][..side].swap_with_slice(&mut below[..side]);
        }
        matrix[step * side + step] = 1.0;
        matrix[step * side..][..side].iter_mut().for_each(|value| *value /= pivot);
        let (above, rest) = matrix.split_at_mut(step * side);
        let (own, below) = rest.split_at_mut(side);
        for row in above.chunks_exact_mut(side).chain(below.chunks_exact_mut(side)) {
            let factor = std::mem::replace(&mut row[step], 0.0);
            row.iter_mut().zip(&*own).for_each(|(value, own)| *value -= factor * own);
        }
    }
    // Rows that were exchanged are columns of the inverse.
    for (step, &with) in exchanged.iter().enumerate().rev().filter(|(step, with)| *step != **with) {
        matrix.chunks_exact_mut(side).for_each(|row| row.swap(step, with));
    }
    true
}

/// The error that what an update did cannot be taken back, because of value number `index` of its first operand.
pub(super) fn no_inverse(given: &Given, index: usize, reason: &str) -> Error {
    Error::non_finite(given.key(), index as u64, reason).adapter(given.adapter)
}

#[cfg(test)]
mod tests {
    use super::invert;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        for side in [1, 2, 3, 7, 16] {
            let value =
                |at: usize| ((at * 61 + 7) % 23) as f64 / 11.0 - 1.0 + if at % (side + 1) == 3 { 2.0 } else { 0.0 };
            let matrix: Vec<f64> = (0..side * side).map(value).collect();
            let mut inverse = matrix.clone();
            assert!(invert(&mut inverse, side), "{side}");
            for (row, col) in (0..side * side).map(|at| (at / side, at % side)) {
                let sum: f64 = (0..side).map(|k| matrix[row * side + k] * inverse[k * side + col]).sum();
                assert!((sum - if row == col { 1.0 } else { 0.0 }).abs() < 1e-11, "{side}: {row}, {col}: {sum}");
            }
        }
    }

    #[test]
    fn rows_are_exchanged_where_they_must_be() {
        let mut turn = [0.0, 2.0, 0.0, 0.0, 0.0, 4.0, 8.0, 0.0, 0.0];
        assert!(invert(&mut turn, 3));
        assert_eq!(turn, [0.0, 0.0, 0.125, 0.5, 0.0, 0.0, 0.0, 0.25, 0.0]);
    }

    #[test]
    fn what_has_no_inverse_is_told() {
        assert!(!invert(&mut [1.0, 2.0, 2.0, 4.0], 2));
        assert!(!invert(&mut [0.0], 1) && !invert(&mut [f64::NAN], 1));
        assert!(invert(&mut [], 0));
    }
}
