//! What a merge found out of one tensor: statistics of the merged weight, and what became of the values of the adapters' deltas.

use crate::combine::{Fate, absorb_fates, put_fates, take_fates};
use crate::kernel::Statistics;
use crate::wire::Wire;

/// What was found out of a tensor, or of some of its elements.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// What the merge did to its numbers.
    pub statistics: Statistics,
    /// What became of the deltas' values, by the order of the adapters that change it; none where nothing takes values away.
    pub fates: Vec<Fate>,
}

impl From<Statistics> for Measured {
    fn from(statistics: Statistics) -> Measured {
        Measured { statistics, fates: Vec::new() }
    }
}

impl Measured {
    /// Add what was found out of other elements.
    pub fn absorb(&mut self, statistics: &Statistics, fates: &[Fate]) {
        self.statistics.absorb(statistics);
        if !fates.is_empty() {
            absorb_fates(&mut self.fates, fates);
        }
    }

    /// Bytes for [`absorb_bytes`](Self::absorb_bytes).
    pub fn bytes_of(statistics: &Statistics, fates: &[Fate]) -> Vec<u8> {
        let mut bytes = statistics.to_bytes();
        if !fates.is_empty() {
            put_fates(fates, &mut bytes);
        }
        bytes
    }

    /// Add what the same version of lorafold wrote as bytes. Anything else is passed over.
    pub fn absorb_bytes(&mut self, mut bytes: &[u8]) {
        let Some(statistics) = Statistics::take(&mut bytes) else { return };
        self.statistics.absorb(&statistics);
        if !bytes.is_empty() {
            absorb_fates(&mut self.fates, &take_fates(bytes));
        }
    }
}
