//! Where an update is in a weight, and the runs of elements that it is applied to.

use std::ops::Range;

use crate::tensor::Float;
use crate::wire::wire_enum;

/// Some rows of a weight that an update covers, and which of the update's rows they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The rows, in the order of the weight, counted from the first that the update covers.
    pub(crate) rows: Range<usize>,
    /// Rows that the update covers in all.
    pub(crate) of: usize,
    /// Columns as stored.
    pub(crate) cols: usize,
    /// How the update's rows are ordered.
    pub(crate) order: RowOrder,
}

impl Place {
    /// The update's row for each of [`rows`](Self::rows).
    pub(crate) fn sources(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.clone().map(|row| self.order.source(row, self.of))
    }

    /// Whether these are all rows of the update, in its order.
    pub(crate) fn is_whole(&self) -> bool {
        self.rows == (0..self.of) && self.order == RowOrder::AsIs
    }
}

/// The order of an update's rows in the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowOrder {
    /// As in the update.
    #[default]
    AsIs,
    /// The second half first: scale and shift, or gate and up, if two tools store them the other way round.
    SwapHalves,
    /// The rows of both halves by turns, beginning with the first half's.
    Alternating,
    /// Of each pair of rows the second first: halves the other way round that alternate.
    SwapPairs,
    /// One half after the other, where the update has the rows of both by turns.
    Deinterleave,
}

wire_enum!(RowOrder { AsIs, SwapHalves, Alternating, SwapPairs, Deinterleave });

impl RowOrder {
    /// Which of the update's rows, `of` in all, stands at `row`.
    #[inline]
    pub(crate) fn source(self, row: usize, of: usize) -> usize {
        if self == RowOrder::AsIs { row } else { self.moved(row, of) }
    }

    #[inline(never)] // In the WebAssembly it is in the second half.
    fn moved(self, row: usize, of: usize) -> usize {
        let half = of / 2;
        match self {
            RowOrder::AsIs => row,
            RowOrder::SwapHalves => (row + half) % of.max(1),
            _ if row >= half * 2 => row,
            RowOrder::Alternating => row % 2 * half + row / 2,
            RowOrder::SwapPairs => row ^ 1,
            RowOrder::Deinterleave => row % half * 2 + row / half,
        }
    }
}

/// A run of elements of a weight.
pub(crate) struct Tile<'a, R> {
    /// First row, counted from the first of the prepared [`Place`].
    pub(crate) row: usize,
    /// First column in that row. It is 0 if an update needs whole rows.
    pub(crate) col: usize,
    /// Columns.
    pub(crate) cols: usize,
    /// The type that the weight is computed in: F32 or F64.
    pub(crate) float: Float,
    /// The weight's values, row by row.
    pub(crate) base: &'a [R],
    /// The bytes that the method [reads](super::Op::reads) besides these values.
    pub(crate) beside: &'a [&'a [u8]],
}

impl<R> Tile<'_, R> {
    /// The same elements, with the weight's values in another type.
    pub(super) fn of<'a, T>(&'a self, base: &'a [T]) -> Tile<'a, T> {
        Tile { row: self.row, col: self.col, cols: self.cols, float: self.float, base, beside: self.beside }
    }

    /// A value rounded to the type of the weight.
    pub(super) fn round(&self, value: f64) -> f64 {
        if self.float == Float::F32 { (value as f32).into() } else { value }
    }

    /// Its parts by row: the row, its first column, and which of the values.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, usize, Range<usize>)> + use<R> {
        let (cols, length) = (self.cols, self.base.len());
        let (mut row, mut col, mut at) = (self.row, self.col, 0);
        std::iter::from_fn(move || {
            let part = (row, col, at..(at + cols.saturating_sub(col)).min(length));
            (row, col, at) = (row + 1, 0, part.2.end);
            (!part.2.is_empty()).then_some(part)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_halves() {
        let rows = |order: RowOrder, of: usize| Place { rows: 0..of, of, cols: 1, order }.sources().collect::<Vec<_>>();
        assert_eq!(rows(RowOrder::AsIs, 6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(rows(RowOrder::SwapHalves, 6), [3, 4, 5, 0, 1, 2]);
        assert_eq!(rows(RowOrder::Alternating, 6), [0, 3, 1, 4, 2, 5]);
        assert_eq!(rows(RowOrder::SwapPairs, 6), [1, 0, 3, 2, 5, 4]);
        assert_eq!(rows(RowOrder::Deinterleave, 6), [0, 2, 4, 1, 3, 5]);
        // No row lies beyond the update's, whatever their number is.
        for of in 1..8 {
            for order in [RowOrder::SwapHalves, RowOrder::Alternating, RowOrder::SwapPairs, RowOrder::Deinterleave] {
                assert!(rows(order, of).iter().all(|row| *row < of));
            }
        }
    }
}
