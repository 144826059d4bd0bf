//! An interval that is as long as what is open makes it.

/// Deltas that a tool may get in an element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hull {
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Hull {
    pub(super) const EMPTY: Hull = Hull { least: f64::INFINITY, most: f64::NEG_INFINITY };
    pub(super) const ALL: Hull = Hull { least: f64::NEG_INFINITY, most: f64::INFINITY };

    pub(super) fn add(&mut self, value: f64, error: f64) {
        self.least = self.least.min(value - error);
        self.most = self.most.max(value + error);
    }

    /// How far it reaches from a delta.
    pub(super) fn spread(&self, delta: f64) -> f64 {
        (self.most - delta).max(delta - self.least).max(0.0)
    }

    pub(super) fn touches(&self, [low, high]: [f64; 2]) -> bool {
        self.least <= high && low <= self.most
    }
}
