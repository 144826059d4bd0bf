//! The tile: `ROWS` rows by two vectors of columns, decoded, added to the product of the factors, rounded and stored in one pass.
//!
//! Generic over the instruction set. Eight vectors hold the sums; together with two of the right factor, one value of the left
//! one and a product they fit the sixteen registers of x86-64 (fifteen in V8).

use super::element::Element;
use super::isa::{Body, PANEL, ROWS, Strip};
use super::statistics::{Lanes, Statistics};
use super::vector::Vector;

/// Writes a block out once for each value of a constant. The module for browsers is compiled for size, and then LLVM does not unroll short
/// loops (or `[value; N]`). But vectors that are indexed by a variable are kept in memory, not in registers.
macro_rules! written_out {
    ($index:ident in [$($value:literal)*] $body:block) => { $({ const $index: usize = $value; $body })* };
}
const _: () = assert!(ROWS == 4, "what is written out below");

/// The body of [`Isa::strip`](super::isa::Isa::strip).
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn fold_strip<V: Vector, F: Element, T: Element, const STATISTICS: bool>(
    strip: &Strip,
    statistics: &mut Statistics,
) -> usize {
    let columns = 2 * V::LANES;
    let &Strip { left, rank, base_stride, out_stride, .. } = strip;
    // SAFETY: the CPU has the instruction set. `base` and `out` go one tile on after each of `strip.tiles` tiles, all of whose rows lie
    // within the strip's memory; `left` and `right` point to `rank` groups.
    unsafe {
        let largest = V::splat_bits(T::OVERFLOW - 1);
        let mut lanes = Lanes::<V>::new();
        let (mut base, mut out) = (strip.base, strip.out);
        let mut done = 0;
        debug_assert!(strip.tiles > 0);
        loop {
            let column = strip.column + done * columns;
            // Wrapping: at rank 0 there are no panels, and the pointer, which is then not read, points to nothing.
            let right = strip.right.wrapping_add(column / PANEL * PANEL * rank + column % PANEL);
            let delta = product::<V>(left, right, rank);

            let mut sums = delta;
            let mut magnitude = V::splat_bits(0);
            written_out!(ROW in [0 1 2 3] {
                let base = F::load::<V>(base.add(ROW * base_stride));
                written_out!(HALF in [0 1] {
                    sums[ROW][HALF] = base[HALF].add(sums[ROW][HALF]);
                    magnitude = magnitude.max_bits(sums[ROW][HALF].and(V::splat_bits(0x7FFF_FFFF)));
                    if STATISTICS && F::FLOAT != T::FLOAT {
                        // The statistics also encode the base.
                        magnitude = magnitude.max_bits(base[HALF].and(V::splat_bits(0x7FFF_FFFF)));
                    }
                });
            });
            // Infinities and NaNs are large too, as bits.
            if magnitude.gt_bits(largest).any() {
                break;
            }

            written_out!(ROW in [0 1 2 3] {
                let codes = [T::encode(sums[ROW][0]), T::encode(sums[ROW][1])];
                if STATISTICS && strip.counted.contains(&ROW) {
                    let base = F::load::<V>(base.add(ROW * base_stride));
                    lanes.add_row::<F, T>(base, delta[ROW], codes);
                }
                T::store(codes, out.add(ROW * out_stride));
            });
            base = base.add(columns * F::FLOAT.bytes());
            out = out.add(columns * T::FLOAT.bytes());
            done += 1;
            if done == strip.tiles {
                break;
            }
        }
        if STATISTICS {
            lanes.flush(done * columns * strip.counted.len(), statistics);
        }
        done
    }
}

/// The body of [`Isa::product`](super::isa::Isa::product).
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn store_product<V: Vector>(left: *const f32, right: *const f32, rank: usize, delta: *mut f32) {
    // SAFETY: the CPU has the instruction set; `left` and `right` point to `rank` groups; `delta` has room for `ROWS` rows of two vectors.
    unsafe {
        let rows = product::<V>(left, right, rank);
        written_out!(ROW in [0 1 2 3] {
            rows[ROW][0].store(delta.add(ROW * 2 * V::LANES));
            rows[ROW][1].store(delta.add(ROW * 2 * V::LANES + V::LANES));
        });
    }
}

/// Tiles of `left * right` side by side, from column `column` of the tensor on, which is a multiple of their width: `ROWS` rows of a buffer, `stride`
/// values from row to row.
pub(super) struct Products {
    /// The panel of the left factor.
    pub left: *const f32,
    /// The first panel of the right factor; the others follow.
    pub right: *const f32,
    pub rank: usize,
    pub column: usize,
    /// Columns: whole panels.
    pub columns: usize,
    pub out: *mut f32,
    pub stride: usize,
}

impl Body for Products {
    type Out = ();

    /// It asks that the panels are `rank` long, those of all the columns, and that `out` has room for them.
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Products { left, right, rank, column, columns, mut out, stride } = self;
        let mut at = column;
        // SAFETY: the CPU has the instruction set; `at` goes through the columns tile by tile, and `out` with it.
        unsafe {
            while at < column + columns {
                // Wrapping: at rank 0 there are no panels, and the pointer, which is then not read, points to nothing.
                let rows = product::<V>(left, right.wrapping_add(at / PANEL * PANEL * rank + at % PANEL), rank);
                written_out!(ROW in [0 1 2 3] {
                    rows[ROW][0].store(out.add(ROW * stride));
                    rows[ROW][1].store(out.add(ROW * stride + V::LANES));
                });
                out = out.add(2 * V::LANES);
                at += 2 * V::LANES;
            }
        }
    }
}

/// Σ_k left[i, k] · right[k, j], k ascending, from -0.0 on: adding that to anything changes nothing.
///
/// # Safety
/// As [`Isa::product`](super::isa::Isa::product).
#[inline(always)]
unsafe fn product<V: Vector>(mut left: *const f32, mut right: *const f32, rank: usize) -> [[V; 2]; ROWS] {
    // SAFETY: the CPU has the instruction set. The pointers are read `rank` times, each time at the next of `rank` groups.
    unsafe {
        let zero = V::splat(-0.0);
        let mut sums = [[zero, zero], [zero, zero], [zero, zero], [zero, zero]];
        // Hide the addresses from LLVM. Otherwise it computes each of the six addresses of an iteration separately, because
        // wasm allows an offset in a load only if the sum cannot wrap. And if the loop were unrolled here, LLVM would move all
        // loads of several iterations to the front, which needs more registers than there are. V8 unrolls the loop well.
        let all = std::hint::black_box(usize::MAX);
        let mut turns = rank;
        if turns > 0 {
            // The condition is at the end of the loop, where LLVM does not move it when it compiles for size.
            loop {
                add_outer_product(&mut sums, left, right);
                // Wrapping: after the last turn `right` may lie more than one past the end, when the tile is not its panel's first.
                left = left.wrapping_add(ROWS).map_addr(|address| address & all);
                right = right.wrapping_add(PANEL).map_addr(|address| address & all);
                turns -= 1;
                if turns == 0 {
                    break;
                }
            }
        }
        sums
    }
}

/// Adds one column of the left factor times one row of the right one.
///
/// # Safety
/// The CPU has the instruction set; `ROWS` values may be read at `left`, `2 * LANES` at `right`.
#[inline(always)]
unsafe fn add_outer_product<V: Vector>(sums: &mut [[V; 2]; ROWS], left: *const f32, right: *const f32) {
    // SAFETY: the CPU has the instruction set; the vectors at `right` are `LANES` values each, and `ROW` is below `ROWS`.
    unsafe {
        let right = [V::load(right), V::load(right.add(V::LANES))];
        written_out!(ROW in [0 1 2 3] {
            let left = V::splat(*left.add(ROW));
            // Multiply, then add: two roundings everywhere.
            sums[ROW][0] = sums[ROW][0].add(left.mul(right[0]));
            sums[ROW][1] = sums[ROW][1].add(left.mul(right[1]));
        });
    }
}

/// Independent chains of [`multiply_and_add`]: two units of each kind, each busy for three cycles.
#[cfg(feature = "bench")]
const CHAINS: usize = 12;

/// Vectors that a turn of [`multiply_and_add`] multiplies, and then adds.
#[cfg(feature = "bench")]
pub(super) const PEAK_VECTORS: usize = 4 * CHAINS;

/// The most multiplications and additions the engine can do: independent chains, nothing loaded or stored.
///
/// # Safety
/// The CPU has the instruction set.
#[cfg(feature = "bench")]
#[inline(always)]
pub(super) unsafe fn multiply_and_add<V: Vector>(turns: usize) -> f32 {
    // SAFETY: the CPU has the instruction set; the array has room for a vector.
    unsafe {
        let mut chains = [V::splat(std::hint::black_box(1.0)); CHAINS];
        let (factor, term) = (V::splat(std::hint::black_box(0.5)), V::splat(std::hint::black_box(0.25)));
        for _ in 0..turns {
            for _ in 0..PEAK_VECTORS / CHAINS {
                written_out!(CHAIN in [0 1 2 3 4 5 6 7 8 9 10 11] {
                    chains[CHAIN] = chains[CHAIN].mul(factor).add(term);
                });
            }
        }
        let mut lanes = [0.0; 8];
        let mut sum = term;
        written_out!(CHAIN in [0 1 2 3 4 5 6 7 8 9 10 11] {
            sum = sum.add(chains[CHAIN]);
        });
        sum.store(lanes.as_mut_ptr());
        lanes[0]
    }
}
