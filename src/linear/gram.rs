//! WᵀW times a block of vectors, from the rows of W.

use crate::kernel::{STRIP, Strip, multiply};

/// Columns of the rows that are turned at a time: they and the products stay in the first cache.
const COLS_TOGETHER: usize = STRIP * 8;

/// Add rowsᵀ @ (rows @ block) to `sums`. `rows` are whole rows of `cols` values; `block` and `sums` are (cols, width), row by row. The sums are
/// added row by row, so that they depend on how rows are handed over, and on nothing else.
pub(crate) fn add_gram(rows: &[f64], cols: usize, block: &[f64], width: usize, sums: &mut [f64]) {
    let count = rows.len() / cols.max(1);
    let padded = count.next_multiple_of(STRIP);
    let mut products = vec![0.0; padded * width];
    let whole = count / STRIP * STRIP;
    for row in (0..whole).step_by(STRIP) {
        let strip = Strip { values: &rows[row * cols..], stride: cols, first: 0 };
        multiply(strip, block, width, &mut products[row * width..], width, 0);
    }
    if whole < count {
        let mut last = vec![0.0; STRIP * cols];
        last[..(count - whole) * cols].copy_from_slice(&rows[whole * cols..count * cols]);
        multiply(
            Strip { values: &last, stride: cols, first: 0 },
            block,
            width,
            &mut products[whole * width..],
            width,
            0,
        );
    }
    let mut turned = vec![0.0; COLS_TOGETHER * padded];
    let mut part = vec![0.0; COLS_TOGETHER * width];
    for first in (0..cols).step_by(COLS_TOGETHER) {
        let some = COLS_TOGETHER.min(cols - first);
        for (row, values) in rows.chunks_exact(cols).enumerate() {
            let places = turned.iter_mut().skip(row).step_by(padded);
            values[first..first + some].iter().zip(places).for_each(|(value, place)| *place = *value);
        }
        for col in (0..some).step_by(STRIP) {
            let strip = Strip { values: &turned[col * padded..], stride: padded, first: 0 };
            multiply(strip, &products, width, &mut part[col * width..], width, 0);
        }
        let to = &mut sums[first * width..(first + some) * width];
        to.iter_mut().zip(&part).for_each(|(to, sum)| *to += sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_shape_gives_the_product() {
        let mut random = Random(3);
        for (rows, cols, width) in [(1, 1, 1), (4, 8, 4), (7, 33, 5), (9, 70, 24), (3, 31, 8), (16, 64, 12)] {
            let mut some = |count: usize| -> Vec<f64> { (0..count).map(|_| random.unit()).collect() };
            let (matrix, block, before) = (some(rows * cols), some(cols * width), some(cols * width));
            let mut sums = before.clone();
            add_gram(&matrix, cols, &block, width, &mut sums);
            for col in 0..cols {
                for k in 0..width {
                    let product =
                        |row: usize| (0..cols).map(|at| matrix[row * cols + at] * block[at * width + k]).sum::<f64>();
                    let sum: f64 = (0..rows).map(|row| matrix[row * cols + col] * product(row)).sum();
                    let expected = before[col * width + k] + sum;
                    assert!((sums[col * width + k] - expected).abs() < 1e-12 * (rows * cols) as f64);
                }
            }
        }
    }
}
