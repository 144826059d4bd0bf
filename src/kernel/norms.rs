//! Norms and scales of rows and columns: what DoRA divides by and multiplies by.
//!
//! A tile is a row-major matrix of `cols` columns without gaps, `f32` or `f64`. Squares are taken and summed in f64 in an order that is
//! part of the definition, so that the sums have the same bits on every CPU (if a sum is NaN, only that it is NaN). The square of an
//! f32 is exact in f64.

use std::ops::MulAssign;

/// Partial sums of a row: as many as keep the CPU's adders busy.
const PARTS: usize = 8;

/// Rows whose squares are added to a column's sum before the sum goes back to memory. The order does not depend on it.
const ROWS: usize = 4;

/// An element of a tile.
pub trait Value: Copy + Into<f64> + MulAssign {
    /// The partial sums of the squares: sum `p` is that of the values `p` of each eight.
    #[inline(always)]
    fn partial_sums(eights: &[[Self; PARTS]]) -> [f64; PARTS] {
        let mut sums = [0.0; PARTS];
        for eight in eights {
            for (sum, &value) in sums.iter_mut().zip(eight) {
                *sum += square(value);
            }
        }
        sums
    }
}

impl Value for f64 {}

impl Value for f32 {
    /// Uses vectors explicitly, because LLVM does not vectorise the loop when it compiles for size.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[inline(always)]
    fn partial_sums(eights: &[[f32; PARTS]]) -> [f64; PARTS] {
        use core::arch::wasm32::*;
        let zero = f64x2_splat(0.0);
        let (mut p01, mut p23, mut p45, mut p67) = (zero, zero, zero, zero);
        let add = |sum, pair| {
            let pair = f64x2_promote_low_f32x4(pair);
            f64x2_add(sum, f64x2_mul(pair, pair))
        };
        for eight in eights {
            // SAFETY: eight f32 are two vectors, and these loads ask for no alignment.
            let (low, high) = unsafe { (v128_load(eight.as_ptr().cast()), v128_load(eight.as_ptr().add(4).cast())) };
            p01 = add(p01, low);
            p23 = add(p23, u64x2_shuffle::<1, 1>(low, low));
            p45 = add(p45, high);
            p67 = add(p67, u64x2_shuffle::<1, 1>(high, high));
        }
        let pair = |sums| [f64x2_extract_lane::<0>(sums), f64x2_extract_lane::<1>(sums)];
        let ([p0, p1], [p2, p3], [p4, p5], [p6, p7]) = (pair(p01), pair(p23), pair(p45), pair(p67));
        [p0, p1, p2, p3, p4, p5, p6, p7]
    }
}

/// Writes the sum of the squares of each row to `out`.
///
/// Partial sum `p` of eight adds the squares of the columns `p`, `p + 8`, `p + 16`, … in this order, from zero on. The row's sum is
/// `((p0 + p4) + (p2 + p6)) + ((p1 + p5) + (p3 + p7))`.
///
/// # Panics
/// If the tile is not `out.len()` × `cols` values.
pub fn row_squares<V: Value>(tile: &[V], cols: usize, out: &mut [f64]) {
    assert_eq!(Some(tile.len()), cols.checked_mul(out.len()), "values of a tile");
    if cols == 0 {
        out.fill(0.0);
        return;
    }
    for (row, out) in tile.chunks_exact(cols).zip(out) {
        let (eights, rest) = row.as_chunks();
        let mut parts = V::partial_sums(eights);
        for (part, &value) in parts.iter_mut().zip(rest) {
            *part += square(value);
        }
        let [p0, p1, p2, p3, p4, p5, p6, p7] = parts;
        *out = ((p0 + p4) + (p2 + p6)) + ((p1 + p5) + (p3 + p7));
    }
}

/// Adds the square of each value to the sum of its column, row after row: a tile of more rows gives the same sums as
/// its parts one after the other.
///
/// # Panics
/// If `sums` is not `cols` values, or the tile not a whole number of rows.
pub fn column_squares<V: Value>(tile: &[V], cols: usize, sums: &mut [f64]) {
    check_rows(tile.len(), cols);
    assert_eq!(sums.len(), cols, "sums of {cols} columns");
    if cols == 0 {
        return;
    }
    let mut blocks = tile.chunks_exact(ROWS * cols);
    for block in &mut blocks {
        let (upper, lower) = block.split_at(2 * cols);
        let ((first, second), (third, fourth)) = (upper.split_at(cols), lower.split_at(cols));
        for ((((sum, &a), &b), &c), &d) in sums.iter_mut().zip(first).zip(second).zip(third).zip(fourth) {
            *sum = *sum + square(a) + square(b) + square(c) + square(d);
        }
    }
    for row in blocks.remainder().chunks_exact(cols) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += square(value);
        }
    }
}

/// Multiplies each row by its factor, rounding once.
///
/// # Panics
/// If the tile is not `factors.len()` × `cols` values.
pub fn scale_rows<V: Value>(tile: &mut [V], cols: usize, factors: &[V]) {
    assert_eq!(Some(tile.len()), cols.checked_mul(factors.len()), "values of a tile");
    if cols == 0 {
        return;
    }
    for (row, &factor) in tile.chunks_exact_mut(cols).zip(factors) {
        for value in row {
            *value *= factor;
        }
    }
}

/// Multiplies each column by its factor, rounding once.
///
/// # Panics
/// If `factors` is not `cols` values, or the tile not a whole number of rows.
pub fn scale_columns<V: Value>(tile: &mut [V], cols: usize, factors: &[V]) {
    check_rows(tile.len(), cols);
    assert_eq!(factors.len(), cols, "factors of {cols} columns");
    if cols == 0 {
        return;
    }
    for row in tile.chunks_exact_mut(cols) {
        for (value, &factor) in row.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
}

#[inline(always)]
fn square<V: Into<f64>>(value: V) -> f64 {
    let value = value.into();
    value * value
}

fn check_rows(length: usize, cols: usize) {
    assert!(if cols == 0 { length == 0 } else { length.is_multiple_of(cols) }, "{length} values in rows of {cols}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn tile(random: &mut Random, rows: usize, cols: usize) -> Vec<f64> {
        (0..rows * cols).map(|_| random.weight()).collect()
    }

    /// The definition, value by value.
    fn row_sum(row: &[f64]) -> f64 {
        let part = |p: usize| row.iter().skip(p).step_by(8).fold(0.0, |sum, value| sum + value * value);
        ((part(0) + part(4)) + (part(2) + part(6))) + ((part(1) + part(5)) + (part(3) + part(7)))
    }

    fn bits(sums: &[f64]) -> Vec<u64> {
        sums.iter().map(|sum| sum.to_bits()).collect()
    }

    const SHAPES: [(usize, usize); 9] = [(0, 5), (5, 0), (1, 1), (1, 7), (3, 8), (4, 9), (5, 16), (13, 31), (9, 100)];

    #[test]
    fn rows_are_summed_in_the_order_of_the_definition() {
        let mut random = Random(29);
        for (rows, cols) in SHAPES {
            let wide = tile(&mut random, rows, cols);
            let narrow: Vec<f32> = wide.iter().map(|&value| value as f32).collect();
            let (mut of_wide, mut of_narrow) = (vec![f64::NAN; rows], vec![f64::NAN; rows]);
            row_squares(&wide, cols, &mut of_wide);
            row_squares(&narrow, cols, &mut of_narrow);
            for row in 0..rows {
                let range = row * cols..(row + 1) * cols;
                let exact: Vec<f64> = narrow[range.clone()].iter().map(|&value| value.into()).collect();
                assert_eq!(of_wide[row].to_bits(), row_sum(&wide[range]).to_bits(), "row {row} of {rows} × {cols}");
                assert_eq!(of_narrow[row].to_bits(), row_sum(&exact).to_bits(), "row {row} of {rows} × {cols}");
            }
        }
    }

    #[test]
    fn columns_are_summed_row_after_row_however_the_rows_are_split() {
        let mut random = Random(31);
        for (rows, cols) in SHAPES {
            let wide = tile(&mut random, rows, cols);
            let narrow: Vec<f32> = wide.iter().map(|&value| value as f32).collect();
            let (mut of_wide, mut of_narrow) = (vec![0.5; cols], vec![0.0; cols]);
            for row in 0..rows {
                for col in 0..cols {
                    of_wide[col] += wide[row * cols + col] * wide[row * cols + col];
                    of_narrow[col] += f64::from(narrow[row * cols + col]) * f64::from(narrow[row * cols + col]);
                }
            }
            for rows_at_once in 1..=rows.max(1) {
                let (mut wide_parts, mut narrow_parts) = (vec![0.5; cols], vec![0.0; cols]);
                let length = (rows_at_once * cols).max(1);
                wide.chunks(length).for_each(|part| column_squares(part, cols, &mut wide_parts));
                narrow.chunks(length).for_each(|part| column_squares(part, cols, &mut narrow_parts));
                assert_eq!(bits(&wide_parts), bits(&of_wide), "{rows} × {cols}, {rows_at_once} rows at once");
                assert_eq!(bits(&narrow_parts), bits(&of_narrow), "{rows} × {cols}, {rows_at_once} rows at once");
            }
        }
    }

    #[test]
    fn extreme_values_neither_overflow_nor_vanish() {
        let mut sums = [0.0; 2];
        column_squares(&[f32::MAX, f32::from_bits(1)], 2, &mut sums);
        // The squares of f32::MAX and of 2^-149 are both exact.
        assert_eq!(sums, [f64::from(f32::MAX) * f64::from(f32::MAX), f64::from_bits((1023 - 298) << 52)]);
    }

    #[test]
    fn rows_and_columns_are_scaled_with_one_rounding() {
        let mut random = Random(37);
        for (rows, cols) in SHAPES {
            let before: Vec<f32> = tile(&mut random, rows, cols).into_iter().map(|value| value as f32).collect();
            let by_row: Vec<f32> = (0..rows).map(|_| random.unit() as f32).collect();
            let by_column: Vec<f32> = (0..cols).map(|_| random.unit() as f32).collect();
            let (mut rows_scaled, mut columns_scaled) = (before.clone(), before.clone());
            scale_rows(&mut rows_scaled, cols, &by_row);
            scale_columns(&mut columns_scaled, cols, &by_column);
            for (index, value) in before.into_iter().enumerate() {
                let (row, col) = (index / cols, index % cols);
                assert_eq!(rows_scaled[index].to_bits(), (value * by_row[row]).to_bits());
                assert_eq!(columns_scaled[index].to_bits(), (value * by_column[col]).to_bits());
            }
        }
    }
}
