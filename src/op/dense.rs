//! Methods that add a delta whose values can be computed anywhere: W' = W + Δ, or W' = W + W ∘ Δ, which a division takes back.

use std::ops::Range;

use super::{Apply, Given, Inverse, Place, Prepared, Tile};
use crate::error::Result;
use crate::kernel::{Two, each_two};
use crate::tensor::Float;

/// A delta as its layer sees it: outputs × inputs, or outputs × (inputs · kernel) for a convolution.
pub(crate) trait Delta {
    /// Bytes of memory.
    fn bytes(&self) -> u64;

    /// The values of one output for the inputs from `first` on, as many as `out` has.
    fn output(&self, output: usize, first: usize, out: &mut [f64]);

    /// The values of one input for the outputs from `first` on: part of a row of a weight stored (in, out).
    fn input(&self, input: usize, first: usize, out: &mut [f64]) {
        for (number, value) in out.iter_mut().enumerate() {
            self.output(first + number, input, std::slice::from_mut(value));
        }
    }
}

/// The update that adds `delta`: W' = W + Δ. Each value is computed in f64 and rounded once to the type of the weight before it is added.
pub(super) fn added(delta: impl Delta + 'static, given: &Given) -> Result<Prepared> {
    dense(Box::new(delta), given, Kind::Added)
}

/// The same for a delta that is relative to the weight: W' = W + W ∘ Δ.
pub(super) fn multiplied(delta: impl Delta + 'static, given: &Given) -> Result<Prepared> {
    dense(Box::new(delta), given, if Inverse::of(given) { Kind::Divided } else { Kind::Multiplied })
}

fn dense(delta: Box<dyn Delta>, given: &Given, kind: Kind) -> Result<Prepared> {
    Prepared::other(Dense { delta, place: given.place.clone(), transposed: given.op.transposed, kind })
}

/// What becomes of a weight.
#[derive(Clone, Copy)]
enum Kind {
    /// W + Δ
    Added,
    /// W + W ∘ Δ
    Multiplied,
    /// W / (1 + Δ), which is infinite where nothing is left of W.
    Divided,
}

/// A delta in its place in the weight.
struct Dense {
    /// Behind a pointer, so that the loops below are compiled once for all methods.
    delta: Box<dyn Delta>,
    place: Place,
    transposed: bool,
    kind: Kind,
}

impl Apply for Dense {
    fn bytes(&self) -> u64 {
        self.delta.bytes()
    }

    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]) {
        for (source, col, inside) in runs(&self.place, tile.row, tile.col, tile.cols, out.len()) {
            let values = &mut out[inside.clone()];
            match self.transposed {
                false => self.delta.output(source, col, values),
                true => self.delta.input(source, col, values),
            }
            let base = &tile.base[inside];
            let one = Two::splat(1.0);
            match (self.kind, tile.float) {
                (Kind::Multiplied, _) => each_two(values, base, |delta, base| base.times(one.plus(delta))),
                (Kind::Divided, _) => {
                    values.iter_mut().zip(base).for_each(|(value, &base)| *value = base / (1.0 + *value));
                }
                (Kind::Added, Float::F32) => each_two(values, base, |delta, base| base.plus(delta.rounded())),
                (Kind::Added, _) => each_two(values, base, |delta, base| base.plus(delta)),
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
