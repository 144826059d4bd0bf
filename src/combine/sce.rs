//! SCE (arXiv 2408.07990): Select the elements in which the deltas differ most, Calculate each delta's weight from its energy there, Erase what
//! disagrees with the elected sign; mergekit's `sce_merge`.

use super::fate::{count_left, count_values};
use super::mix::mix;
use super::{Delta, Divide, Election, Fate, Lanes, Part, Rule, Selection};
use crate::wire::wire;

/// The rule for one weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sce {
    /// Share of the elements that are selected, of those in which the deltas differ at all.
    pub density: f64,
    /// How many adapters change the weight.
    pub members: usize,
    /// Its elements.
    pub elements: u64,
}

wire!(Sce { density, members, elements });

/// Below which the mean energies of all deltas together are none, and a sum of weights is not divided by.
pub(crate) const NOTHING: f64 = 1e-6;

impl Sce {
    /// How much the deltas differ in each element: their variance. An adapter whose region does not have the element has 0 there.
    fn variances(&self, deltas: &[Delta], out: &mut Vec<f32>) {
        let count = self.members.max(1) as f64;
        out.clear();
        out.extend((0..deltas.first().map_or(0, |delta| delta.values.len())).map(|at| {
            let values = || deltas.iter().map(|delta| f64::from(delta.values[at]));
            let mean = values().sum::<f64>() / count;
            let absent = (self.members - deltas.len().min(self.members)) as f64 * mean * mean;
            let squares: f64 = values().map(|value| (value - mean) * (value - mean)).sum();
            ((squares + absent) / count) as f32
        }));
    }

    /// Put zeros in place of what is not selected.
    fn select(&self, deltas: &mut [Delta], part: &Part) {
        let Some(found) = part.selections.first().and_then(Selection::found).filter(|_| self.density < 1.0) else {
            return;
        };
        let mut variances = Vec::new();
        self.variances(deltas, &mut variances);
        // The key of a variance that is 0 is 0, and no value has a variance of -0.
        part.runs(&mut variances).for_each(|(first, run)| found.mask(run, first, true));
        for delta in deltas {
            let selected = delta.values.iter_mut().zip(&variances).filter(|(_, variance)| **variance == 0.0);
            selected.for_each(|(value, _)| *value = 0.0);
        }
    }
}

impl Rule for Sce {
    fn selections(&self, elements: u64, _: bool) -> Vec<Selection> {
        if self.density < 1.0 { vec![Selection::share(self.density, elements)] } else { Vec::new() }
    }

    fn ranked<'d>(&self, _: usize, deltas: &'d [Delta], scratch: &'d mut Vec<f32>) -> Option<&'d [f32]> {
        self.variances(deltas, scratch);
        Some(scratch)
    }

    fn sums(&self) -> usize {
        self.members
    }

    fn gather(&self, deltas: &mut [Delta], part: &Part, sums: &mut [Lanes]) {
        self.select(deltas, part);
        for delta in deltas {
            if let Some(lanes) = sums.get_mut(delta.member) {
                lanes.add(part.first, delta.values.iter().map(|&value| f64::from(value) * f64::from(value)));
            }
        }
    }

    fn combine(&self, deltas: &mut [Delta], part: &Part, mut fates: Option<&mut Vec<Fate>>, out: &mut [f32]) {
        if let Some(fates) = fates.as_deref_mut() {
            count_values(deltas, fates);
        }
        self.select(deltas, part);
        let all: f64 = part.sums.iter().sum();
        for delta in &mut *deltas {
            let energy = part.sums.get(delta.member).copied().unwrap_or(0.0);
            let none = all / (self.elements.max(1) as f64) < NOTHING;
            delta.weight = if none { 1.0 / self.members.max(1) as f64 } else { energy / all } as f32;
        }
        if let Some(fates) = fates {
            count_left(deltas, Election::Total, false, fates);
        }
        mix(deltas, Election::Total, false, Divide::AtLeast(NOTHING), out);
    }
}
