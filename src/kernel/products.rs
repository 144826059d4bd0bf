//! Products of the factors here and there: a sample of a delta's values.

use std::ops::Range;

use super::factors::Factors;
use super::isa::{Kernel, PANEL, ROWS};
use crate::tensor::Float;

/// Hands squares of L·R to `take`, one of `step` of those that lie within `rows`: of each panel of rows other columns than of the one before. What
/// is at the edges, and no whole square, is left out.
///
/// # Panics
/// If `rows` reaches beyond the tensor.
pub fn sample_products(factors: &Factors, rows: Range<usize>, step: usize, take: &mut dyn FnMut(&[f32])) {
    assert!(rows.end <= factors.rows(), "rows {rows:?} of {}", factors.rows());
    let kernel = Kernel::detect(Float::F32, Float::F32, false);
    let rank = factors.rank();
    let step = step.max(1);
    let mut square = [0.0f32; ROWS * PANEL];
    let mut row = rows.start.next_multiple_of(ROWS);
    while row + ROWS <= rows.end {
        let left = factors.left_panel(row);
        let mut panel = step - 1 - row / ROWS * 7 % step;
        while (panel + 1) * PANEL <= factors.cols() {
            for column in (0..PANEL).step_by(kernel.columns) {
                let right = factors.right_panels().wrapping_add(panel * PANEL * rank + column);
                // SAFETY: `Kernel::detect` chose the kernel for this CPU. Both pointers are to `rank` groups, `right` to the tile's first column in its
                // panel, which is one of the tensor's; `square` has room for the largest tile, `ROWS` × `PANEL`.
                unsafe { (kernel.product)(left, right, rank, square.as_mut_ptr()) };
                take(&square[..ROWS * kernel.columns]);
            }
            panel += step;
        }
        row += ROWS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::FactorLayout;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_sample_has_one_of_so_many_values_of_every_part() {
        let (rows, cols, step) = (64, 32 * PANEL + 5, 16);
        let mut factors = Factors::try_new(rows, cols, 1).unwrap();
        let bytes = |values: Vec<f32>| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let numbers = |count: usize, scale: usize| bytes((0..count).map(|at| (1 + at * scale) as f32).collect());
        factors.pack_left(0, 1, FactorLayout::AsIs, &bytes(vec![1.0; rows]), Float::F32, 1.0).unwrap();
        factors.pack_right(0, 1, FactorLayout::AsIs, &numbers(cols, 1), Float::F32, 1.0).unwrap();
        let mut seen = vec![0; cols + 1];
        sample_products(&factors, 0..rows, step, &mut |values| {
            values.iter().for_each(|&value| seen[value as usize] += 1);
        });
        // Of 16 panels of rows each has two squares of other columns.
        assert_eq!(seen.iter().sum::<usize>(), rows * 32 * PANEL / step);
        assert!(seen[1..=32 * PANEL].iter().all(|&count| count == ROWS), "{seen:?}");
        let mut part = 0;
        sample_products(&factors, 3..11, step, &mut |values| part += values.len());
        assert_eq!(part, 2 * ROWS * PANEL);
    }
}
