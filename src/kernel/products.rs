//! Products of the factors here and there: a sample of a delta's values.

use std::ops::Range;

use super::factors::Factors;
use super::isa::{self, Kernel, PANEL, ROWS};
use super::tile::Products;
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

/// Rows that [`panel_products`] gives.
pub const PANEL_ROWS: usize = ROWS;

/// Columns that [`panel_products`] gives are a multiple of this.
pub const PANEL_COLS: usize = PANEL;

/// L·R for four rows, from row `row` on, and the columns from `col` on: as many as a fourth of `out`, row by row. Both are multiples of
/// [`PANEL_ROWS`] and [`PANEL_COLS`]; what lies beyond the tensor's edge is of no meaning.
///
/// # Panics
/// If they are not, or the first row, or the last panel of columns, begins beyond the tensor.
pub fn panel_products(factors: &Factors, row: usize, col: usize, out: &mut [f32]) {
    let width = out.len() / ROWS;
    assert!(row.is_multiple_of(ROWS) && col.is_multiple_of(PANEL) && out.len().is_multiple_of(ROWS * PANEL));
    assert!(row < factors.rows() && col + width <= factors.cols().next_multiple_of(PANEL), "{row}, {col} + {width}");
    let products = Products {
        left: factors.left_panel(row),
        right: factors.right_panels(),
        rank: factors.rank(),
        column: col,
        columns: width,
        out: out.as_mut_ptr(),
        stride: width,
    };
    // SAFETY: the panels are those of the tensor, which has this row and, with the edge that is filled with zeros, these columns; `out` is `ROWS` rows.
    unsafe { isa::run(products) };
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
    #[test]
    fn products_of_a_panel_are_those_of_the_fold() {
        let mut random = crate::kernel::tests::Random(17);
        for (rows, cols, rank) in [(4, 16, 1), (7, 37, 3), (9, 64, 0), (16, 100, 16)] {
            let mut factors = Factors::try_new(rows, cols, rank).unwrap();
            let mut bytes =
                |count: usize| (0..count).flat_map(|_| (random.unit() as f32).to_le_bytes()).collect::<Vec<u8>>();
            factors.pack_left(0, rank, FactorLayout::AsIs, &bytes(rows * rank), Float::F32, 1.0).unwrap();
            factors.pack_right(0, rank, FactorLayout::AsIs, &bytes(rank * cols), Float::F32, 1.0).unwrap();
            let mut whole = vec![0.0f32; rows * cols];
            let nothing = vec![-0.0f32; rows * cols];
            crate::kernel::fold_tile(&factors, 0, Float::F32, crate::kernel::bytes_of(&nothing), &mut whole);
            for row in (0..rows).step_by(ROWS) {
                for (col, width) in
                    [(0, cols.next_multiple_of(PANEL)), (cols / PANEL * PANEL / 2 / PANEL * PANEL, PANEL)]
                {
                    let mut out = vec![7.0; ROWS * width];
                    panel_products(&factors, row, col, &mut out);
                    for at in (0..out.len()).filter(|at| row + at / width < rows && col + at % width < cols) {
                        let fold = whole[(row + at / width) * cols + col + at % width];
                        assert_eq!(out[at].to_bits(), fold.to_bits(), "{rows} × {cols}, {row}, {col}, {at}");
                    }
                }
            }
        }
    }
}
