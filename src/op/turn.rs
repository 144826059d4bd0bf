//! Methods that map each row of a weight on its own, as a rotation of the layer's input does: W' = W·M.

use super::orthogonal::try_zeros;
use super::{Apply, Op, Prepared, Tile};
use crate::error::Result;
use crate::kernel::{STRIP, Strip, multiply};
use crate::model::orientation::Fit;

/// A linear map of rows.
pub(crate) trait RowMap {
    /// Bytes of memory.
    fn bytes(&self) -> u64;

    /// Map the [`STRIP`] rows of `cols` values in `rows`. `spare` is memory of the same size, with any values.
    fn map(&self, rows: &mut Vec<f64>, spare: &mut Vec<f64>, cols: usize);
}

/// The update that maps a weight's rows, and then multiplies each by its number in `scales`, if there are any.
pub(super) fn turned(map: impl RowMap + 'static, scales: Vec<f64>) -> Result<Prepared> {
    Prepared::other(Turned { map: Box::new(map), scales })
}

/// A map of a weight's rows.
struct Turned {
    map: Box<dyn RowMap>,
    scales: Vec<f64>,
}

impl Apply for Turned {
    fn bytes(&self) -> u64 {
        self.map.bytes() + size_of_val(self.scales.as_slice()) as u64
    }

    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]) {
        let length = STRIP * tile.cols;
        if length == 0 {
            return;
        }
        let (mut rows, mut spare) = (Vec::with_capacity(length), vec![0.0; length]);
        let mut scales = self.scales.iter().skip(tile.row);
        for (base, out) in tile.base.chunks(length).zip(out.chunks_mut(length)) {
            rows.clear();
            rows.extend_from_slice(base);
            rows.resize(length, 0.0);
            self.map.map(&mut rows, &mut spare, tile.cols);
            for (row, out) in rows.chunks_exact(tile.cols).zip(out.chunks_mut(tile.cols)) {
                let scale = scales.next().copied().unwrap_or(1.0);
                out.iter_mut().zip(row).for_each(|(out, value)| *out = value * scale);
            }
        }
    }
}

/// Square matrices along the diagonal. Each run of `side` values of a row is multiplied by its own matrix; a single matrix is used for all runs.
pub(crate) struct Blocks {
    /// The matrices, row by row, one after another.
    pub(crate) values: Vec<f64>,
    /// Their number of rows.
    pub(crate) side: usize,
}

impl Blocks {
    /// `count` matrices of zeros.
    ///
    /// # Errors
    /// `limit-exceeded` if there is not enough memory.
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

/// How a weight would have to be stored for each of its outputs to have one value for each input, times a convolution's kernel.
pub(super) fn fit_columns(op: &Op, shape: &[u64]) -> Fit {
    fit_rows(op.layer.outputs, op.layer.inputs, shape)
}

/// The same for a weight with this many outputs and columns, as far as they are known. PEFT has these methods only for `nn.Linear` and
/// convolutions, which store outputs as rows.
pub(super) fn fit_rows(outputs: Option<u64>, columns: Option<u64>, shape: &[u64]) -> Fit {
    let [rows, sides @ ..] = shape else { return Fit::Neither };
    let all = sides.iter().try_fold(1u64, |all, &side| all.checked_mul(side));
    if all.is_none() || columns.is_some() && columns != all || outputs.is_some_and(|outputs| outputs != *rows) {
        return Fit::Neither;
    }
    match sides {
        [] => Fit::Neither,
        [_] => Fit::Straight,
        _ => Fit::Certain { transposed: false },
    }
}
