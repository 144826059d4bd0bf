//! Orthogonal matrices from skew-symmetric ones, in f64: the rotations of OFT and BOFT.

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{STRIP, Strip, multiply};

/// This many zeros.
///
/// # Errors
/// `limit-exceeded` if there is not enough memory.
pub(crate) fn try_zeros(subject: &str, length: Option<usize>) -> Result<Vec<f64>> {
    let mut values = Vec::new();
    let reserved = length.filter(|&length| values.try_reserve_exact(length).is_ok());
    let Some(length) = reserved else {
        let reason = "there is not enough memory for its matrices";
        return Err(Error::limit_exceeded(subject, reason).kind(ErrorKind::NoMemory));
    };
    values.resize(length, 0.0);
    Ok(values)
}

/// Writes to `out` the skew-symmetric matrix with the strict upper triangle `upper`, row by row.
pub(crate) fn skew(upper: &[f64], side: usize, out: &mut [f64]) {
    let mut upper = upper.iter();
    for row in 0..side {
        for (col, &value) in (row + 1..side).zip(&mut upper) {
            out[row * side + col] = value;
            out[col * side + row] = -value;
        }
    }
}

/// Matrices of the size of a block that [`cayley`] and [`neumann`] work in.
pub(crate) const SPARES: usize = 3;

/// Replaces Q, side × side, by its Cayley transform (I − Q)(I + Q)⁻¹. For a skew-symmetric Q every pivot of I + Q is at least 1, so
/// elimination need not exchange rows. `spare` is [`SPARES`] such matrices.
pub(crate) fn cayley(q: &mut [f64], side: usize, spare: &mut [f64]) {
    // The two factors commute: X with (I + Q)·X = I − Q.
    let left = &mut spare[..q.len()];
    left.copy_from_slice(q);
    for (at, (left, right)) in left.iter_mut().zip(&mut *q).enumerate() {
        let one = if at % (side + 1) == 0 { 1.0 } else { 0.0 };
        (*left, *right) = (one + *left, one - *right);
    }
    for pivot in 0..side {
        let (upper, lower) = left.split_at_mut((pivot + 1) * side);
        let (above, below) = q.split_at_mut((pivot + 1) * side);
        let (upper, above) = (&upper[pivot * side..], &above[pivot * side..]);
        for (lower, below) in lower.chunks_exact_mut(side).zip(below.chunks_exact_mut(side)) {
            let factor = lower[pivot] / upper[pivot];
            subtract(&mut lower[pivot..], factor, &upper[pivot..]);
            subtract(below, factor, above);
        }
    }
    for pivot in (0..side).rev() {
        let (above, row) = q.split_at_mut(pivot * side);
        let row = &mut row[..side];
        let divisor = left[pivot * side + pivot];
        row.iter_mut().for_each(|value| *value /= divisor);
        for (above, left) in above.chunks_exact_mut(side).zip(left.chunks_exact(side)) {
            subtract(above, left[pivot], row);
        }
    }
}

fn subtract(row: &mut [f64], factor: f64, other: &[f64]) {
    for (value, other) in row.iter_mut().zip(other) {
        *value -= factor * other;
    }
}

/// Replaces Q, side × side, by I + 2·Q + 2·Q² + … with the powers below `terms`: the first terms of the series of the Cayley transform of −Q.
/// The last power is taken once, not twice, if `halved`. `spare` is [`SPARES`] such matrices.
pub(crate) fn neumann(q: &mut [f64], side: usize, terms: u64, halved: bool, spare: &mut [f64]) {
    let (sum, rest) = spare.split_at_mut(q.len());
    let (power, next) = rest.split_at_mut(q.len());
    power.copy_from_slice(q);
    sum.fill(0.0);
    sum.iter_mut().step_by(side + 1).for_each(|value| *value = 1.0);
    for exponent in 1..terms {
        if exponent > 1 {
            let next = &mut next[..q.len()];
            product(power, q, side, next);
            power.copy_from_slice(next);
        }
        let factor = if halved && exponent + 1 == terms { 1.0 } else { 2.0 };
        subtract(sum, -factor, power);
    }
    q.copy_from_slice(sum);
}

/// The product of two matrices, side × side.
fn product(a: &[f64], b: &[f64], side: usize, out: &mut [f64]) {
    let mut strip = vec![0.0; STRIP * side];
    let mut sums = strip.clone();
    for (rows, out) in a.chunks(STRIP * side).zip(out.chunks_mut(STRIP * side)) {
        strip[..rows.len()].copy_from_slice(rows);
        multiply(Strip { values: &strip, stride: side, first: 0 }, b, side, &mut sums, side, 0);
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// Transposes a matrix, side × side.
pub(crate) fn transpose(matrix: &mut [f64], side: usize) {
    for row in 0..side {
        for col in row + 1..side {
            matrix.swap(row * side + col, col * side + row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skewed(side: usize, size: f64) -> Vec<f64> {
        let upper: Vec<f64> = (0..side * (side - 1) / 2).map(|i| ((i * 37 % 19) as f64 / 9.0 - 1.0) * size).collect();
        let mut q = vec![0.0; side * side];
        skew(&upper, side, &mut q);
        q
    }

    fn off(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    fn times(a: &[f64], b: &[f64], side: usize) -> Vec<f64> {
        let mut out = vec![0.0; side * side];
        product(a, b, side, &mut out);
        out
    }

    fn spare(side: usize) -> Vec<f64> {
        vec![9.0; SPARES * side * side]
    }

    #[test]
    fn the_upper_triangle_stands_row_by_row() {
        let mut q = vec![0.0; 9];
        skew(&[1.0, 2.0, 3.0], 3, &mut q);
        assert_eq!(q, [0.0, 1.0, 2.0, -1.0, 0.0, 3.0, -2.0, -3.0, 0.0]);
    }

    #[test]
    fn a_cayley_transform_solves_its_equation_and_is_orthogonal() {
        for (side, size) in [(1, 1.0), (2, 0.5), (3, 1.0), (8, 0.3), (9, 40.0)] {
            let q = skewed(side, size);
            let mut rotation = q.clone();
            cayley(&mut rotation, side, &mut spare(side));
            let one = |at: usize| if at.is_multiple_of(side + 1) { 1.0 } else { 0.0 };
            let plus: Vec<f64> = q.iter().enumerate().map(|(at, q)| one(at) + q).collect();
            let minus: Vec<f64> = q.iter().enumerate().map(|(at, q)| one(at) - q).collect();
            assert!(off(&times(&rotation, &plus, side), &minus) < 1e-11 * size.max(1.0), "{side}");
            let mut back = rotation.clone();
            transpose(&mut back, side);
            let identity: Vec<f64> = (0..side * side).map(one).collect();
            assert!(off(&times(&rotation, &back, side), &identity) < 1e-12, "{side}");
        }
    }

    #[test]
    fn the_series_has_the_coefficients_of_the_two_versions() {
        // Q² = −I: I + 2Q − 2I − 2Q + 1·I or 2·I.
        let turn = [0.0, 1.0, -1.0, 0.0];
        let sum = |terms, halved| {
            let mut q = turn.to_vec();
            neumann(&mut q, 2, terms, halved, &mut spare(2));
            q
        };
        assert_eq!(sum(0, true), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(sum(2, false), [1.0, 2.0, -2.0, 1.0]);
        assert_eq!(sum(4, true), [-1.0, 1.0, -1.0, -1.0]);
        assert_eq!(sum(5, true), [0.0, 0.0, 0.0, 0.0]);
        assert_eq!(sum(5, false), [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_long_series_nears_the_cayley_transform() {
        let mut series = skewed(5, 0.05);
        let mut exact: Vec<f64> = series.iter().map(|value| -value).collect();
        neumann(&mut series, 5, 40, true, &mut spare(5));
        cayley(&mut exact, 5, &mut spare(5));
        assert!(off(&series, &exact) < 1e-12);
    }

    #[test]
    fn what_memory_cannot_hold_is_an_error() {
        assert_eq!(try_zeros("x", None).unwrap_err().code(), "limit-exceeded");
        assert_eq!(try_zeros("x", Some(usize::MAX)).unwrap_err().code(), "limit-exceeded");
    }
}
