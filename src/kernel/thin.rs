//! A block of a wide matrix times a thin one, from either side, in f32: where `extract` spends its time.
//!
//! Every value of a product is the sum of its products, from zero on, in the order of the depth, each product and each sum rounded; then it is
//! added to what was there. So the result has the same bits on every CPU, whatever is computed side by side.

use super::isa::{Body, Isa, Work, on_this_cpu};
use super::rows::{STRIP, Strip, multiply};
use super::vector::Vector;

/// What the width of the thin matrix is a multiple of: the longest vector of all instruction sets.
pub const THIN: usize = 8;

/// Rows of a tile.
const ROWS: usize = 4;

/// The left factor of a product: `rows` × `depth` of values that lie anywhere in a matrix, so that it may also be the other way round.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a, R> {
    /// The matrix, from the first value on.
    pub values: &'a [R],
    /// How many rows.
    pub rows: usize,
    /// How many values of each.
    pub depth: usize,
    /// From a row to the next.
    pub row_step: usize,
    /// From a value of a row to the next.
    pub depth_step: usize,
}

impl<R> Left<'_, R> {
    /// The last value is there, and so are all.
    fn check(&self, right: &[R], width: usize, out: &[R]) {
        let Left { values, rows, depth, row_step, depth_step } = *self;
        let last =
            (rows.saturating_sub(1)).checked_mul(row_step).zip((depth.saturating_sub(1)).checked_mul(depth_step));
        let last = last.and_then(|(of_rows, of_depth)| of_rows.checked_add(of_depth));
        assert!(
            rows == 0 || depth == 0 || last.is_some_and(|last| last < values.len()),
            "the left factor is too short"
        );
        assert!(width.is_multiple_of(THIN), "a width of {width}");
        assert_eq!(Some(right.len()), depth.checked_mul(width), "values of the right factor");
        assert_eq!(Some(out.len()), rows.checked_mul(width), "values of the product");
    }
}

/// The same in pointers.
pub(super) struct Product {
    left: *const f32,
    rows: usize,
    depth: usize,
    row_step: usize,
    depth_step: usize,
    right: *const f32,
    width: usize,
    out: *mut f32,
}

/// Adds `left` × `right` (depth × width) to `out` (rows × width), in f32.
///
/// # Panics
/// If the width is no multiple of [`THIN`], or a factor or `out` is not of its size.
pub(super) fn add_product(left: Left<f32>, right: &[f32], width: usize, out: &mut [f32]) {
    on_this_cpu(Add(left, right, width, out));
}

struct Add<'a>(Left<'a, f32>, &'a [f32], usize, &'a mut [f32]);

impl Work for Add<'_> {
    type Out = ();

    fn by<I: Isa>(self) {
        let Add(left, right, width, out) = self;
        left.check(right, width, out);
        let Left { values, rows, depth, row_step, depth_step } = left;
        if depth == 0 {
            return;
        }
        let (left, right, out) = (values.as_ptr(), right.as_ptr(), out.as_mut_ptr());
        // SAFETY: `on_this_cpu` calls this for an instruction set that the CPU has; the product's sizes are those of the slices, as checked.
        unsafe { I::run(Product { left, rows, depth, row_step, depth_step, right, width, out }) }
    }
}

/// Writes a block out once for each value of a constant, as in [`tile`](super::tile).
macro_rules! written_out {
    ($index:ident in [$($value:literal)*] $body:block) => { $({ const $index: usize = $value; $body })* };
}
const _: () = assert!(ROWS == 4, "what is written out below");

impl Body for Product {
    type Out = ();

    /// It asks that the pointers cover the product's rows, depth and width, and that the width is a multiple of [`THIN`], the depth not 0.
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Product { left, rows, depth, row_step, depth_step, right, width, out } = self;
        let mut row = 0;
        // SAFETY: the CPU has the instruction set. Rows and columns are those of the product, whose memory the pointers cover: columns are taken
        // two vectors at a time, and one where fewer are left; the width is a multiple of the longest vector.
        unsafe {
            while row < rows {
                let some = if rows - row < ROWS { 1 } else { ROWS };
                let left = left.add(row * row_step);
                let mut column = 0;
                while column < width {
                    let (right, out) = (right.add(column), out.add(row * width + column));
                    let sides = (depth, row_step, depth_step, width);
                    let wide = width - column >= 2 * V::LANES;
                    match (some == ROWS, wide) {
                        (true, true) => tile::<V, ROWS, 2>(left, right, out, sides),
                        (true, false) => tile::<V, ROWS, 1>(left, right, out, sides),
                        (false, true) => tile::<V, 1, 2>(left, right, out, sides),
                        (false, false) => tile::<V, 1, 1>(left, right, out, sides),
                    }
                    column += if wide { 2 } else { 1 } * V::LANES;
                }
                row += some;
            }
        }
    }
}

/// `HEIGHT` rows, at most four, by `HALVES` vectors, at most two.
///
/// # Safety
/// The CPU has the instruction set. `depth` is not 0. From `left` on there are `HEIGHT` rows of `depth` values, from `right` on `depth` rows of
/// the vectors, and from `out` on `HEIGHT`.
#[inline(always)]
unsafe fn tile<V: Vector, const HEIGHT: usize, const HALVES: usize>(
    left: *const f32,
    mut right: *const f32,
    out: *mut f32,
    (depth, row_step, depth_step, width): (usize, usize, usize, usize),
) {
    // SAFETY: the CPU has the instruction set. The pointers are read `depth` times, each time at the next of `depth` values or rows.
    unsafe {
        let zero = V::splat(0.0);
        let mut sums = [[zero, zero], [zero, zero], [zero, zero], [zero, zero]];
        let mut lefts =
            [left, left.wrapping_add(row_step), left.wrapping_add(2 * row_step), left.wrapping_add(3 * row_step)];
        // Hidden from LLVM for the reasons that `tile::product` has.
        let all = std::hint::black_box(usize::MAX);
        let mut turns = depth;
        loop {
            let mut vectors = [zero, zero];
            written_out!(HALF in [0 1] {
                if HALF < HALVES {
                    vectors[HALF] = V::load(right.add(HALF * V::LANES));
                }
            });
            written_out!(ROW in [0 1 2 3] {
                if ROW < HEIGHT {
                    let left = V::splat(*lefts[ROW]);
                    written_out!(HALF in [0 1] {
                        if HALF < HALVES {
                            // Multiply, then add: two roundings everywhere.
                            sums[ROW][HALF] = sums[ROW][HALF].add(left.mul(vectors[HALF]));
                        }
                    });
                    // Wrapping: after the last turn it may point beyond the matrix.
                    lefts[ROW] = lefts[ROW].wrapping_add(depth_step).map_addr(|address| address & all);
                }
            });
            right = right.wrapping_add(width).map_addr(|address| address & all);
            turns -= 1;
            if turns == 0 {
                break;
            }
        }
        written_out!(ROW in [0 1 2 3] {
            if ROW < HEIGHT {
                written_out!(HALF in [0 1] {
                    if HALF < HALVES {
                        let out = out.add(ROW * width + HALF * V::LANES);
                        V::load(out).add(sums[ROW][HALF]).store(out);
                    }
                });
            }
        });
    }
}

/// The same in f64, by the [strips](multiply), to which the left factor is copied where its values are apart.
pub(super) fn add_product_f64(left: Left<f64>, right: &[f64], width: usize, out: &mut [f64]) {
    left.check(right, width, out);
    let Left { values, rows, depth, row_step, depth_step } = left;
    let mut strip = vec![0.0; STRIP * depth];
    let mut sums = vec![0.0; STRIP * width];
    for (strip_of_out, out) in out.chunks_mut((STRIP * width).max(1)).enumerate() {
        for (row, strip) in strip.chunks_mut(depth.max(1)).enumerate() {
            let row = strip_of_out * STRIP + row;
            let from = values.get(row * row_step..).filter(|_| row < rows).unwrap_or_default();
            strip.fill(0.0);
            strip.iter_mut().zip(from.iter().step_by(depth_step.max(1))).for_each(|(to, from)| *to = *from);
        }
        multiply(Strip { values: &strip, stride: depth, first: 0 }, right, width, &mut sums, width, 0);
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out += sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Real;
    use crate::kernel::isa::by_each;
    use crate::kernel::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn product_by_hand<R: Real>(left: Left<R>, right: &[R], width: usize, out: &[R]) -> Vec<R> {
        let value = |(at, &before): (usize, &R)| {
            let (row, col) = (at / width, at % width);
            let term = |k: usize| left.values[row * left.row_step + k * left.depth_step] * right[k * width + col];
            before + (0..left.depth).fold(R::ZERO, |sum, k| sum + term(k))
        };
        out.iter().enumerate().map(value).collect()
    }

    /// Rows, depth, width.
    const SIDES: [(usize, usize, usize); 8] =
        [(0, 3, 8), (1, 0, 8), (1, 1, 8), (3, 5, 16), (4, 7, 24), (9, 2, 8), (6, 13, 40), (17, 9, 16)];

    #[test]
    fn products_are_summed_in_order_by_every_instruction_set() {
        let mut random = Random(41);
        for (rows, depth, width) in SIDES {
            for turned in [false, true] {
                let stride = rows.max(depth) + 3;
                let (row_step, depth_step) = if turned { (1, stride) } else { (stride, 1) };
                let mut values = |count: usize| (0..count).map(|_| random.weight()).collect::<Vec<f64>>();
                let (left, right, before) = (values(stride * stride), values(depth * width), values(rows * width));
                let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();

                let of_f64 = Left { values: &left, rows, depth, row_step, depth_step };
                let expected = product_by_hand(of_f64, &right, width, &before);
                let mut out = before.clone();
                f64::add_product(of_f64, &right, width, &mut out);
                assert!(
                    out.iter().zip(&expected).all(|(one, other)| one.to_bits() == other.to_bits()),
                    "{rows} × {depth} × {width}"
                );

                let (left, right, before) = (narrow(&left), narrow(&right), narrow(&before));
                let of_f32 = Left { values: &left, rows, depth, row_step, depth_step };
                let expected = product_by_hand(of_f32, &right, width, &before);
                let mut out = before.clone();
                by_each!(Add(of_f32, &right, width, &mut out), |()| {
                    let same = out.iter().zip(&expected).all(|(one, other)| one.to_bits() == other.to_bits());
                    assert!(same, "{rows} × {depth} × {width}, turned: {turned}");
                    out.copy_from_slice(&before);
                });
            }
        }
    }
}
