//! Sums over a weight in f64, in an order that depends on the numbers of its elements alone.

/// Sums that are taken side by side.
const LANES: usize = 8;

/// One sum: every eighth element from each of the first eight on, then the eight.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lanes([f64; LANES]);

impl Lanes {
    /// Add what elements `first` and on are worth.
    pub(crate) fn add(&mut self, first: u64, terms: impl Iterator<Item = f64>) {
        let mut lane = (first % LANES as u64) as usize;
        for term in terms {
            self.0[lane] += term;
            lane = (lane + 1) % LANES;
        }
    }

    /// The sum.
    pub(crate) fn sum(&self) -> f64 {
        self.0.iter().sum()
    }
}
