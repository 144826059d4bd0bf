//! How many singular values a result keeps.

use crate::error::{Error, Result};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Keep {
    /// At most so many.
    pub(crate) rank: Option<usize>,
    /// The fewest that have this share of the energy, the sum of squares.
    pub(crate) energy: Option<f64>,
}

/// The largest rank that can be asked for.
const MOST: u64 = 65_536;

impl Keep {
    /// # Errors
    /// `bad-option` for a rank of 0, or an energy that is no share.
    pub(crate) fn of(rank: Option<u64>, energy: Option<f64>) -> Result<Keep> {
        if let Some(rank) = rank.filter(|rank| !(1..=MOST).contains(rank)) {
            let error = Error::bad_option("rank", format!("{rank} is not between 1 and {MOST}"));
            return Err(error.found(rank.to_string()).expected(format!("a whole number from 1 to {MOST}")));
        }
        // Also where it is NaN.
        if energy.is_some_and(|energy| !(energy > 0.0 && energy <= 1.0)) {
            let error = Error::bad_option("energy", "it is not a share of the whole");
            return Err(error.expected("a number above 0, and at most 1").fix("0.99 keeps 99 % of the sum of squares"));
        }
        Ok(Keep { rank: rank.map(|rank| rank as usize), energy })
    }

    /// How many of these values are kept, at least one; all of them where nothing was asked for. `total` is the sum of the squares of all
    /// values, those included that are not known.
    ///
    /// As PEFT's `_find_cutoff_index` has it: the fewest whose sum of squares reaches the share.
    pub(crate) fn count(&self, values: &[f64], total: f64) -> usize {
        let most = self.rank.unwrap_or(usize::MAX).min(values.len());
        let enough = self.energy.map_or(most, |energy| reaching(values, energy * total).unwrap_or(most));
        enough.min(most).max(1)
    }

    /// Whether these values, the largest, are enough to tell how many are kept.
    pub(crate) fn is_known(&self, values: &[f64], total: f64) -> bool {
        match (self.rank, self.energy) {
            (Some(rank), _) if rank <= values.len() => true,
            (_, Some(energy)) => reaching(values, energy * total).is_some(),
            _ => false,
        }
    }
}

/// How many of the values it takes until their sum of squares is `wanted`.
fn reaching(values: &[f64], wanted: f64) -> Option<usize> {
    let sums = values.iter().scan(0.0, |sum, value| {
        *sum += value * value;
        Some(*sum)
    });
    // The values come from another sum of the same squares: the last bits of the two differ.
    sums.into_iter().position(|sum| sum >= wanted * (1.0 - 1e-12)).map(|at| at + 1)
}

/// The sum of squares of the first `count` values, over `total`: 1 where there is nothing.
pub(crate) fn kept(values: &[f64], count: usize, total: f64) -> f64 {
    let sum: f64 = values.iter().take(count).map(|value| value * value).sum();
    if total > 0.0 { (sum / total).min(1.0) } else { 1.0 }
}
