//! Methods that add a delta whose values can be computed anywhere: W' = W + Δ, or W' = W + W ∘ Δ.

use std::ops::Range;

use super::{Apply, Place, Tile};
use crate::kernel::Real;

/// A delta as its layer sees it: outputs × inputs, or outputs × (inputs · kernel) of a convolution.
pub(crate) trait Delta {
    /// Bytes of memory.
    fn bytes(&self) -> u64;

    /// The values of one output for the inputs from `first` on, as many as `out` has.
    fn output(&self, output: usize, first: usize, out: &mut [f64]);

    /// The values of one input for the outputs from `first` on: what a weight stored (in, out) has in a row.
    fn input(&self, input: usize, first: usize, out: &mut [f64]) {
        for (number, value) in out.iter_mut().enumerate() {
            self.output(first + number, input, std::slice::from_mut(value));
        }
    }
}

/// A delta in its place in the weight. Each value is computed in f64 and rounded once to the type of the tile before it is added.
pub(crate) struct Dense {
    /// Behind a pointer, so that the loops below are there once for all methods.
    delta: Box<dyn Delta>,
    place: Place,
    transposed: bool,
    relative: bool,
}

impl Dense {
    /// The delta of a weight that is stored (in, out) if `transposed`.
    pub(crate) fn new(delta: impl Delta + 'static, place: &Place, transposed: bool) -> Dense {
        Dense { delta: Box::new(delta), place: place.clone(), transposed, relative: false }
    }

    /// The same of a delta that is a part of each value of the weight: W' = W + W ∘ Δ.
    #[cfg_attr(not(feature = "rare"), allow(dead_code))]
    pub(crate) fn relative(delta: impl Delta + 'static, place: &Place, transposed: bool) -> Dense {
        Dense { relative: true, ..Dense::new(delta, place, transposed) }
    }
}

impl Apply for Dense {
    fn bytes(&self) -> u64 {
        self.delta.bytes()
    }

    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        let mut values = vec![0.0; tile.cols.min(out.len())];
        for (source, col, inside) in runs(&self.place, tile.row, tile.col, tile.cols, out.len()) {
            let values = &mut values[..inside.len()];
            match self.transposed {
                false => self.delta.output(source, col, values),
                true => self.delta.input(source, col, values),
            }
            for ((out, &base), &delta) in out[inside.clone()].iter_mut().zip(&tile.base[inside]).zip(&*values) {
                *out = if self.relative { R::from_f64(base.into() * (1.0 + delta)) } else { base + R::from_f64(delta) };
            }
        }
    }
}

/// The rows that `count` elements are in, which begin at `row` of `place` and at column `col` of that row: for each the update's own row that
/// stands there, the first column, and which of the elements they are.
pub(super) fn runs(
    place: &Place,
    row: usize,
    col: usize,
    cols: usize,
    count: usize,
) -> impl Iterator<Item = (usize, usize, Range<usize>)> + '_ {
    let (mut at, mut col) = (0, col);
    place.sources().skip(row).map_while(move |source| {
        let (start, first) = (at, col);
        (at, col) = ((at + cols - first).min(count), 0);
        (start < count).then_some((source, first, start..at))
    })
}
