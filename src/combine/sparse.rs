//! Deltas that are pruned, each by itself, before they are summed up: magnitude pruning, TIES (arXiv 2306.01708), DARE (arXiv 2311.03099),
//! Breadcrumbs (arXiv 2312.06795), DELLA (arXiv 2406.11617); PEFT's `merge_utils`, mergekit's generalised task arithmetic.

use super::fate::{count_left, count_values};
use super::mask::{mask_by_rank, mask_randomly};
use super::mix::mix;
use super::{Delta, Divide, Election, Fate, Found, Lanes, Part, Rule, Selection};
use crate::kernel::{Four, each_four};
use crate::wire::{wire, wire_enum};

/// How the deltas of all adapters become one: each is pruned and rescaled, then signs are elected, then the weighted sum is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Sparse {
    /// What becomes zero.
    pub prune: Prune,
    /// How what is left is scaled.
    pub rescale: Rescale,
    /// Whose signs count.
    pub election: Election,
    /// Signs are elected by weight times delta.
    pub weighted: bool,
    /// What the sum is divided by.
    pub divide: Divide,
    /// What each adapter that changes the weight keeps, in their order.
    pub members: Vec<Member>,
}

wire!(Sparse { prune, rescale, election, weighted, divide, members });

/// What one adapter keeps of a weight.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Member {
    /// Share of its values; where it is 1 or more nothing is pruned.
    pub density: f64,
    /// How many values that are.
    pub kept: u64,
    /// How many of the largest are dropped: outliers.
    pub outliers: u64,
    /// How far the probability of the smallest and of the largest value of a row is from the density.
    pub epsilon: f64,
    /// Key of its random numbers.
    pub key: u64,
}

wire!(Member { density, kept, outliers, epsilon, key });

/// Which values of a delta become zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// None.
    Nothing,
    /// All but the largest by magnitude.
    Smallest,
    /// The largest, and all but those that come next.
    Outliers,
    /// Random ones.
    Random,
    /// Random ones, smaller ones more often: by the rank of |x| in its row.
    Ranks,
}

wire_enum!(Prune { Nothing, Smallest, Outliers, Random, Ranks });

/// How the values are scaled that are left of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rescale {
    /// They are not.
    No,
    /// They are divided by the density.
    Density,
    /// So that the sum of their magnitudes is what it was.
    Magnitudes,
}

wire_enum!(Rescale { No, Density, Magnitudes });

/// Below which a sum of magnitudes is as good as zero (mergekit's `rescaled_masked_tensor`).
const NO_MAGNITUDE: f64 = 1e-7;

impl Sparse {
    /// Selections of each member.
    pub(crate) fn each(&self) -> usize {
        match self.prune {
            Prune::Smallest => 1,
            Prune::Outliers => 2,
            Prune::Nothing | Prune::Random | Prune::Ranks => 0,
        }
    }

    /// Put zeros in place of the values that are not kept.
    fn prune(&self, delta: &mut Delta, part: &Part) {
        let Delta { member, values, .. } = delta;
        let Some(kept) = self.members.get(*member).filter(|kept| kept.density < 1.0) else { return };
        let found = |number: usize| part.selections.get(*member * self.each() + number)?.found();
        match self.prune {
            Prune::Nothing => {}
            Prune::Smallest => {
                let largest = found(0).unwrap_or(Found::ALL);
                part.runs(values).for_each(|(first, run)| largest.mask(run, first, true));
            }
            Prune::Outliers => {
                let (largest, outliers) = (found(0).unwrap_or(Found::ALL), found(1).unwrap_or(Found::NONE));
                part.runs(values).for_each(|(first, run)| {
                    largest.mask(run, first, true);
                    outliers.mask(run, first, false);
                });
            }
            Prune::Random => {
                part.runs(values).for_each(|(first, run)| mask_randomly(run, first, kept.key, kept.density));
            }
            Prune::Ranks => {
                let (least, most) = (kept.density - kept.epsilon, kept.density + kept.epsilon);
                mask_by_rank(values, part.cols, part.first, kept.key, least, most);
            }
        }
    }

    /// What the values that are left are multiplied with.
    pub(crate) fn scale(&self, member: usize, sums: &[f64]) -> f32 {
        let Some(kept) = self.members.get(member).filter(|kept| kept.density < 1.0) else { return 1.0 };
        match (self.rescale, sums.get(2 * member..2 * member + 2)) {
            (Rescale::Density, _) => (1.0 / kept.density) as f32,
            (Rescale::Magnitudes, Some(&[before, after])) if before >= NO_MAGNITUDE && after >= NO_MAGNITUDE => {
                (before / after) as f32
            }
            _ => 1.0,
        }
    }
}

impl Rule for Sparse {
    fn selections(&self, elements: u64, sampled: bool) -> Vec<Selection> {
        let mut all = Vec::new();
        if self.each() == 0 {
            return all;
        }
        for member in &self.members {
            let kept = if member.density >= 1.0 { elements } else { member.kept.saturating_add(member.outliers) };
            all.push(Selection::largest(kept, elements, sampled));
            if self.prune == Prune::Outliers {
                let dropped = if member.density >= 1.0 { 0 } else { member.outliers };
                all.push(Selection::largest(dropped, elements, sampled));
            }
        }
        all
    }

    fn member_of(&self, number: usize) -> Option<usize> {
        number.checked_div(self.each())
    }

    fn sums(&self) -> usize {
        if self.rescale == Rescale::Magnitudes { 2 * self.members.len() } else { 0 }
    }

    fn whole_rows(&self) -> bool {
        self.prune == Prune::Ranks
    }

    fn gather(&self, deltas: &mut [Delta], part: &Part, sums: &mut [Lanes]) {
        for delta in deltas {
            let magnitudes = |values: &[f32], lanes: &mut Lanes| {
                lanes.add(part.first, values.iter().map(|value| f64::from(value.abs())));
            };
            let at = 2 * delta.member;
            if let Some(lanes) = sums.get_mut(at) {
                magnitudes(&delta.values, lanes);
            }
            self.prune(delta, part);
            if let Some(lanes) = sums.get_mut(at + 1) {
                magnitudes(&delta.values, lanes);
            }
        }
    }

    fn combine(&self, deltas: &mut [Delta], part: &Part, mut fates: Option<&mut Vec<Fate>>, out: &mut [f32]) {
        if let Some(fates) = fates.as_deref_mut() {
            count_values(deltas, fates);
        }
        for delta in &mut *deltas {
            self.prune(delta, part);
            let scale = self.scale(delta.member, part.sums);
            if scale != 1.0 {
                let scale = Four::splat(scale);
                each_four(&mut delta.values, |values| values.times(scale));
            }
        }
        if let Some(fates) = fates {
            count_left(deltas, self.election, self.weighted, fates);
        }
        mix(deltas, self.election, self.weighted, self.divide, out);
    }
}
