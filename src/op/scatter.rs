//! Values that are added at single places of a weight, for methods that train only a few elements.

use super::Place;
use super::dense::Delta;

/// Things that each belong to a row, by row. Those of one row are in the order in which they were given.
pub(crate) struct ByRow<T> {
    /// Where the things of each row begin, and where the last ones end.
    starts: Vec<usize>,
    all: Vec<T>,
}

impl<T: Copy> ByRow<T> {
    /// `all` by their rows, which are below `rows`.
    pub(crate) fn new(rows: usize, all: &[(usize, T)]) -> ByRow<T> {
        let mut starts = vec![0; rows + 1];
        all.iter().for_each(|(row, _)| starts[row + 1] += 1);
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut sorted: Vec<T> = all.iter().map(|(_, thing)| *thing).collect();
        let mut free = starts.clone();
        for (row, thing) in all {
            sorted[free[*row]] = *thing;
            free[*row] += 1;
        }
        ByRow { starts, all: sorted }
    }

    /// The things of `rows`, as far as these rows exist.
    pub(crate) fn of(&self, rows: std::ops::Range<usize>) -> &[T] {
        let last = self.starts.len() - 1;
        &self.all[self.starts[rows.start.min(last)]..self.starts[rows.end.min(last)]]
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        (size_of_val(self.starts.as_slice()) + size_of_val(self.all.as_slice())) as u64
    }
}

/// Places, and what is added there. Rows are those of the weight as stored, whichever way round it is.
pub(crate) struct Scatter(ByRow<(usize, f64)>);

impl Scatter {
    /// Each entry is a row and a column of the whole update as stored, and a value. All places must be in the weight.
    pub(crate) fn new(entries: impl Iterator<Item = (usize, usize, f64)>, place: &Place) -> Scatter {
        let entries: Vec<_> = entries.map(|(row, col, value)| (row, (col, value))).collect();
        Scatter(ByRow::new(place.of, &entries))
    }

    /// Add the values of a row from column `first` on to `out`.
    pub(crate) fn add(&self, row: usize, first: usize, out: &mut [f64]) {
        for (col, value) in self.0.of(row..row + 1) {
            if let Some(out) = col.checked_sub(first).and_then(|at| out.get_mut(at)) {
                *out += value;
            }
        }
    }
}

impl Delta for Scatter {
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        out.fill(0.0);
        self.add(output, first, out);
    }

    fn input(&self, input: usize, first: usize, out: &mut [f64]) {
        self.output(input, first, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_by_row_and_keep_their_order() {
        let by_row = ByRow::new(4, &[(2, 'a'), (0, 'b'), (2, 'c'), (3, 'd'), (0, 'e')]);
        assert_eq!(by_row.of(0..1), ['b', 'e']);
        assert!(by_row.of(1..2).is_empty() && by_row.of(4..9).is_empty());
        assert_eq!(by_row.of(1..9), ['a', 'c', 'd']);
    }
}
