//! Values that are added at single places of a weight: what methods that train a few elements have.

use super::Place;
use super::dense::Delta;

/// Places and what is added there, in the order of the weight as stored.
pub(crate) struct Scatter {
    /// Row · columns + column, and the value; where places are the same, in the order that they were given.
    entries: Vec<(u64, f64)>,
    cols: u64,
}

impl Scatter {
    /// Room for an update that stands in `place`; each entry is a place of the whole update, row · columns + column as stored.
    pub(crate) fn new(mut entries: Vec<(u64, f64)>, place: &Place) -> Scatter {
        entries.sort_by_key(|(at, _)| *at);
        Scatter { entries, cols: place.cols as u64 }
    }

    /// Add the values of a row from column `first` on to `out`.
    pub(crate) fn add(&self, row: usize, first: usize, out: &mut [f64]) {
        let start = row as u64 * self.cols + first as u64;
        let from = self.entries.partition_point(|(at, _)| *at < start);
        for (at, value) in &self.entries[from..] {
            match out.get_mut((at - start) as usize) {
                Some(out) => *out += value,
                None => break,
            }
        }
    }
}

/// Its rows are those of the weight as stored, whichever way round that is.
impl Delta for Scatter {
    fn bytes(&self) -> u64 {
        size_of_val(self.entries.as_slice()) as u64
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        out.fill(0.0);
        self.add(output, first, out);
    }

    fn input(&self, input: usize, first: usize, out: &mut [f64]) {
        self.output(input, first, out);
    }
}
