//! Which factors on a delta explain an element, and all elements of a tensor.

use crate::wire::wire;

/// Factors from `least` to `most`, none of them below 0. The other sign has a range of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) least: f64,
    pub(super) most: f64,
}

wire!(Range { least, most });

impl Range {
    /// Every factor.
    pub(super) const ANY: Range = Range { least: 0.0, most: f64::INFINITY };
    /// No factor.
    pub(super) const NONE: Range = Range { least: f64::INFINITY, most: -1.0 };

    /// Whether no factor is left.
    pub(super) fn is_empty(&self) -> bool {
        !matches!(self.least.partial_cmp(&self.most), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal))
    }

    /// Whether a factor is left, but for the rounding of the division that gave the ends.
    pub(super) fn contains(&self, factor: f64) -> bool {
        self.least * (1.0 - 1e-12) <= factor && factor <= self.most * (1.0 + 1e-12)
    }

    /// The factors w for which low ≤ w·(delta + e) ≤ high for some |e| ≤ `error`.
    pub(super) fn of(delta: f64, error: f64, low: f64, high: f64) -> Range {
        let mut range = Range::ANY;
        // The smallest that the product may be is at most `high`, the largest at least `low`.
        range.at_most(delta - error, high);
        range.at_most(-(delta + error), -low);
        range
    }

    /// Leave the factors w for which w·slope ≤ limit.
    fn at_most(&mut self, slope: f64, limit: f64) {
        if slope > 0.0 {
            self.most = self.most.min(limit / slope);
        } else if limit < 0.0 {
            self.least = if slope < 0.0 { self.least.max(limit / slope) } else { f64::INFINITY };
        }
    }

    /// Leave what both have.
    pub(super) fn intersect(&mut self, other: Range) {
        self.least = self.least.max(other.least);
        self.most = self.most.min(other.most);
    }
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn factors_are_those_that_a_search_finds() {
        for delta in [-2.0, -0.5, 0.0, 0.25, 3.0] {
            for error in [0.0, 0.1, 0.4] {
                for (low, high) in [(-1.0, 2.0), (0.5, 0.6), (-3.0, -2.5), (0.0, 0.0)] {
                    let range = Range::of(delta, error, low, high);
                    for step in 0..400 {
                        let factor = f64::from(step) / 8.0 + 0.01;
                        let (least, most) = (factor * (delta - error), factor * (delta + error));
                        let possible = least <= high && most >= low;
                        assert_eq!(range.contains(factor), possible, "{delta} {error} {low}..{high} {factor}");
                    }
                }
            }
        }
        assert!(!Range::ANY.is_empty() && Range::NONE.is_empty());
    }
}
