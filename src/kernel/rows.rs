//! Four rows times a matrix, in f64: where the methods that rotate a weight's rows spend most of their time.
//!
//! Every value of the result is the sum of its products, from zero on, in the order of the matrix's rows, each product and each sum
//! rounded: the same bits on every CPU, whatever columns are computed together.

/// Rows that are multiplied together: each value of the matrix is loaded once for all of them.
pub const STRIP: usize = 4;

/// Columns that are computed together.
const WIDE: usize = 4;

/// Four rows of `stride` values each. From `first` on, `depth` values of each are multiplied by a matrix.
#[derive(Debug, Clone, Copy)]
pub struct Strip<'a> {
    /// The values, row by row.
    pub values: &'a [f64],
    /// Values of a row.
    pub stride: usize,
    /// The first value of each row that is multiplied by the matrix.
    pub first: usize,
}

/// Writes rows × `matrix` to four rows of `out`, which are `stride` values apart, from value `first` of each on. The matrix has rows of
/// `width` values, and at least as many rows as the strip has values from its own first value on.
///
/// # Panics
/// If the matrix is not whole rows, or the strip or `out` is too short.
pub fn multiply(strip: Strip, matrix: &[f64], width: usize, out: &mut [f64], stride: usize, first: usize) {
    if width == 0 {
        return;
    }
    assert!(matrix.len().is_multiple_of(width), "{} values in rows of {width}", matrix.len());
    let depth = matrix.len() / width;
    let rows: [&[f64]; STRIP] = std::array::from_fn(|row| &strip.values[row * strip.stride + strip.first..][..depth]);
    let whole = width / WIDE * WIDE;
    for col in (0..whole).step_by(WIDE) {
        let sums = sums(&rows, matrix.get(col..).unwrap_or_default(), width);
        for (row, sums) in sums.iter().enumerate() {
            out[row * stride + first + col..][..WIDE].copy_from_slice(sums);
        }
    }
    for col in whole..width {
        for (row, values) in rows.iter().enumerate() {
            let column = matrix.get(col..).unwrap_or_default().iter().step_by(width);
            out[row * stride + first + col] = values.iter().zip(column).fold(0.0, |sum, (a, b)| sum + a * b);
        }
    }
}

/// Four rows times the first four columns of `matrix`, whose rows are `width` values apart.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn sums(rows: &[&[f64]; STRIP], matrix: &[f64], width: usize) -> [[f64; WIDE]; STRIP] {
    let mut sums = [[0.0; WIDE]; STRIP];
    let [a, b, c, d] = rows;
    for ((((a, b), c), d), line) in a.iter().zip(*b).zip(*c).zip(*d).zip(matrix.chunks(width)) {
        let Some(line) = line.first_chunk::<WIDE>() else { break };
        for (sums, value) in sums.iter_mut().zip([a, b, c, d]) {
            for (sum, factor) in sums.iter_mut().zip(line) {
                *sum += value * factor;
            }
        }
    }
    sums
}

/// The same with explicit vectors, because LLVM does not vectorise the loops when it compiles for size.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn sums(rows: &[&[f64]; STRIP], matrix: &[f64], width: usize) -> [[f64; WIDE]; STRIP] {
    use core::arch::wasm32::*;
    let mut sums = [[f64x2_splat(0.0); 2]; STRIP];
    let [a, b, c, d] = rows;
    for ((((a, b), c), d), line) in a.iter().zip(*b).zip(*c).zip(*d).zip(matrix.chunks(width)) {
        let Some(line) = line.first_chunk::<WIDE>() else { break };
        // SAFETY: four f64 are two vectors, and these loads ask for no alignment.
        let (low, high) = unsafe { (v128_load(line.as_ptr().cast()), v128_load(line.as_ptr().add(2).cast())) };
        for (sums, value) in sums.iter_mut().zip([a, b, c, d]) {
            let value = f64x2_splat(*value);
            sums[0] = f64x2_add(sums[0], f64x2_mul(value, low));
            sums[1] = f64x2_add(sums[1], f64x2_mul(value, high));
        }
    }
    sums.map(|[low, high]| {
        let pair = |sums| [f64x2_extract_lane::<0>(sums), f64x2_extract_lane::<1>(sums)];
        let ([s0, s1], [s2, s3]) = (pair(low), pair(high));
        [s0, s1, s2, s3]
    })
}

/// Columns of a [`weighted_sum`] that are computed together: as many as keep the CPU's adders busy.
const ACROSS: usize = 8;

/// Writes Σ weight · row of `matrix`, whose rows have `width` values, to `out`: of each row as many values as that has, from value `first` on. Each
/// value is summed up from zero on, in the order of the rows.
///
/// # Panics
/// If `first` and the length of `out` go beyond a row.
pub fn weighted_sum(weights: &[f64], matrix: &[f64], width: usize, first: usize, out: &mut [f64]) {
    assert!(first.checked_add(out.len()).is_some_and(|end| end <= width), "{} values of rows of {width}", out.len());
    let (tiles, rest) = out.as_chunks_mut::<ACROSS>();
    for (number, tile) in tiles.iter_mut().enumerate() {
        *tile = sums_across(weights, matrix.get(first + number * ACROSS..).unwrap_or_default(), width);
    }
    let first = first + tiles.len() * ACROSS;
    for (number, out) in rest.iter_mut().enumerate() {
        let column = matrix.get(first + number..).unwrap_or_default().iter().step_by(width);
        *out = weights.iter().zip(column).fold(0.0, |sum, (weight, value)| sum + weight * value);
    }
}

/// The first eight columns of `matrix`.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn sums_across(weights: &[f64], matrix: &[f64], width: usize) -> [f64; ACROSS] {
    let mut sums = [0.0; ACROSS];
    for (weight, line) in weights.iter().zip(matrix.chunks(width)) {
        let Some(line) = line.first_chunk::<ACROSS>() else { break };
        for (sum, value) in sums.iter_mut().zip(line) {
            *sum += weight * value;
        }
    }
    sums
}

/// The same with explicit vectors, as in [`sums`].
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn sums_across(weights: &[f64], matrix: &[f64], width: usize) -> [f64; ACROSS] {
    use core::arch::wasm32::*;
    let zero = f64x2_splat(0.0);
    let (mut s01, mut s23, mut s45, mut s67) = (zero, zero, zero, zero);
    for (weight, line) in weights.iter().zip(matrix.chunks(width)) {
        let Some(line) = line.first_chunk::<ACROSS>() else { break };
        let (weight, line) = (f64x2_splat(*weight), line.as_ptr());
        // SAFETY: eight f64 are four vectors, and these loads ask for no alignment.
        let [v01, v23, v45, v67] = unsafe {
            [
                v128_load(line.cast()),
                v128_load(line.add(2).cast()),
                v128_load(line.add(4).cast()),
                v128_load(line.add(6).cast()),
            ]
        };
        s01 = f64x2_add(s01, f64x2_mul(weight, v01));
        s23 = f64x2_add(s23, f64x2_mul(weight, v23));
        s45 = f64x2_add(s45, f64x2_mul(weight, v45));
        s67 = f64x2_add(s67, f64x2_mul(weight, v67));
    }
    let pair = |sums| [f64x2_extract_lane::<0>(sums), f64x2_extract_lane::<1>(sums)];
    let ([s0, s1], [s2, s3], [s4, s5], [s6, s7]) = (pair(s01), pair(s23), pair(s45), pair(s67));
    [s0, s1, s2, s3, s4, s5, s6, s7]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn each_value_is_summed_in_order_whatever_stands_beside_it() {
        let mut random = Random(37);
        for (depth, width) in [(0, 3), (1, 1), (3, 4), (5, 7), (8, 8), (2, 13), (31, 6)] {
            let (stride, first, out_stride, out_first) = (depth + 3, 2, width + 5, 4);
            let mut values = |count: usize| (0..count).map(|_| random.weight()).collect::<Vec<f64>>();
            let (strip, matrix) = (values(STRIP * stride), values(depth * width));
            let mut out = vec![7.0; STRIP * out_stride];
            multiply(Strip { values: &strip, stride, first }, &matrix, width, &mut out, out_stride, out_first);
            for row in 0..STRIP {
                for col in 0..width {
                    let product = |k: usize| strip[row * stride + first + k] * matrix[k * width + col];
                    let sum = (0..depth).fold(0.0, |sum, k| sum + product(k));
                    let found = out[row * out_stride + out_first + col];
                    assert_eq!(found.to_bits(), sum.to_bits(), "{row}, {col} of {depth} × {width}");
                }
                assert!(out[row * out_stride..][..out_first].iter().all(|&value| value == 7.0));
                assert!(out[row * out_stride + out_first + width..(row + 1) * out_stride].iter().all(|&v| v == 7.0));
            }
        }
    }

    #[test]
    fn weighted_sums_are_in_order_wherever_they_begin() {
        let mut random = Random(47);
        for (rows, width, first, count) in
            [(0, 9, 0, 9), (1, 8, 0, 8), (3, 20, 0, 20), (5, 20, 3, 17), (16, 33, 9, 11), (2, 5, 5, 0)]
        {
            let mut values = |count: usize| (0..count).map(|_| random.weight()).collect::<Vec<f64>>();
            let (weights, matrix) = (values(rows), values(rows * width));
            let mut out = vec![7.0; count];
            weighted_sum(&weights, &matrix, width, first, &mut out);
            for (number, found) in out.iter().enumerate() {
                let term = |k: usize| weights[k] * matrix[k * width + first + number];
                let sum = (0..rows).fold(0.0, |sum, k| sum + term(k));
                assert_eq!(found.to_bits(), sum.to_bits(), "{number} of {rows} × {width} from {first}");
            }
        }
    }
}
