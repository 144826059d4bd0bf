//! Methods that map every row of a weight by itself, as a rotation of the layer's input does: W' = W·M.

use super::{Apply, Place, Tile};
use crate::error::Result;
use crate::kernel::{Real, STRIP, Strip, multiply};
use crate::model::orientation::Fit;

use super::orthogonal::try_zeros;

/// A linear map of rows.
pub(crate) trait RowMap {
    /// Bytes of memory.
    fn bytes(&self) -> u64;

    /// Map the [`STRIP`] rows of `cols` values in `rows`. `spare` is memory of the same size, with whatever values.
    fn map(&self, rows: &mut Vec<f64>, spare: &mut Vec<f64>, cols: usize);
}

/// A map of a weight's rows, each of which may be multiplied with a number afterwards. All is computed in f64 and rounded once to the type
/// of the tile.
pub(crate) struct Turned<M> {
    map: M,
    /// What each row of the place is multiplied with; empty for 1.
    scales: Vec<f64>,
}

impl<M: RowMap> Turned<M> {
    /// The map alone.
    pub(crate) fn new(map: M) -> Turned<M> {
        Turned { map, scales: Vec::new() }
    }

    /// The map, after which each output is multiplied with its number in `scales`.
    #[cfg_attr(not(feature = "rare"), allow(dead_code))]
    pub(crate) fn scaled(map: M, scales: &[f64], place: &Place) -> Turned<M> {
        Turned { map, scales: place.sources().filter_map(|row| scales.get(row).copied()).collect() }
    }
}

impl<M: RowMap> Apply for Turned<M> {
    fn bytes(&self) -> u64 {
        self.map.bytes() + size_of_val(self.scales.as_slice()) as u64
    }

    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        let length = STRIP * tile.cols;
        if length == 0 {
            return;
        }
        let (mut rows, mut spare) = (Vec::with_capacity(length), vec![0.0; length]);
        let mut scales = self.scales.iter().skip(tile.row);
        for (base, out) in tile.base.chunks(length).zip(out.chunks_mut(length)) {
            rows.clear();
            rows.extend(base.iter().map(|&value| -> f64 { value.into() }));
            rows.resize(length, 0.0);
            self.map.map(&mut rows, &mut spare, tile.cols);
            for (row, out) in rows.chunks_exact(tile.cols).zip(out.chunks_mut(tile.cols)) {
                let scale = scales.next().copied().unwrap_or(1.0);
                for (out, value) in out.iter_mut().zip(row) {
                    *out = R::from_f64(value * scale);
                }
            }
        }
    }
}

/// Square matrices along the diagonal: each run of `side` values of a row is multiplied with its own; one alone is for all runs.
pub(crate) struct Blocks {
    /// The matrices, row by row, one after another.
    pub(crate) values: Vec<f64>,
    /// Their side.
    pub(crate) side: usize,
}

impl Blocks {
    /// `count` matrices of zeros.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn try_new(subject: &str, count: usize, side: usize) -> Result<Blocks> {
        let length = side.checked_mul(side).and_then(|square| square.checked_mul(count));
        Ok(Blocks { values: try_zeros(subject, length)?, side })
    }
}

impl RowMap for Blocks {
    fn bytes(&self) -> u64 {
        size_of_val(self.values.as_slice()) as u64
    }

    fn map(&self, rows: &mut Vec<f64>, spare: &mut Vec<f64>, cols: usize) {
        let blocks = self.values.chunks_exact((self.side * self.side).max(1)).cycle();
        for (first, block) in (0..cols / self.side.max(1)).map(|run| run * self.side).zip(blocks) {
            let strip = Strip { values: rows, stride: cols, first };
            multiply(strip, block, self.side, spare, cols, first);
        }
        std::mem::swap(rows, spare);
    }
}

/// How a weight would have to be stored whose outputs have `columns` values each, those of a convolution's kernel included. PEFT has these
/// methods for `nn.Linear` and convolutions alone, which store outputs as rows.
pub(crate) fn fit_columns(shape: &[u64], outputs: Option<u64>, columns: impl Fn(u64) -> bool) -> Fit {
    let [rows, sides @ ..] = shape else { return Fit::Neither };
    let all = sides.iter().try_fold(1u64, |all, &side| all.checked_mul(side));
    if !all.is_some_and(columns) || outputs.is_some_and(|outputs| outputs != *rows) {
        return Fit::Neither;
    }
    match sides {
        [] => Fit::Neither,
        [_] => Fit::Straight,
        _ => Fit::Certain { transposed: false },
    }
}
