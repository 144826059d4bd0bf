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
        self.rows.clone().map(|row| match self.order {
            RowOrder::AsIs => row,
            RowOrder::SwapHalves => (row + self.of / 2) % self.of,
            RowOrder::Alternating => row / 2 + row % 2 * (self.of / 2),
        })
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
}

wire_enum!(RowOrder { AsIs, SwapHalves, Alternating });

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
        // No row lies beyond the update's, whatever their number is.
        for of in 1..8 {
            assert!(rows(RowOrder::Alternating, of).iter().all(|row| *row < of));
        }
    }
}
