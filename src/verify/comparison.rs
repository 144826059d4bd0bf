//! Elements of a merge in f64 against what was found: sums, counts, and the factors on each delta that the bounds of rounding allow.

use super::arithmetic::{Element, Numbers, Terms, Tool, rounded, tools, units};
use super::evidence::{Direction, Evidence, Pruned};
use super::mixture::{Bounds, Mixture};
use super::weights::Range;
use crate::tensor::Float;

/// A delta and what bounds its errors, element by element.
pub(super) struct Column {
    pub(super) delta: Vec<f64>,
    pub(super) amplitude: Vec<f64>,
    pub(super) terms: Terms,
    /// Where a rule has made it of several deltas: these.
    pub(super) mixture: Option<Mixture>,
}

/// Some elements of a tensor.
pub(super) struct Comparison<'a> {
    /// Of the base, and of what was found.
    pub(super) types: (Float, Float),
    /// What the expected merge starts from.
    pub(super) base: &'a [f64],
    /// The base's own values, where the merge does not start from them.
    pub(super) origin: Option<&'a [f64]>,
    /// What was found.
    pub(super) found: &'a [f64],
    /// The expected delta, then others.
    pub(super) columns: &'a [Column],
}

impl Comparison<'_> {
    /// What there is to say of the elements. `parts`: the other deltas are parts of the expected one, one for each adapter. `open`: it is asked what else may
    /// have been kept of each delta.
    pub(super) fn evidence(&self, parts: bool, open: bool) -> Evidence {
        let tools = tools(self.types.0, self.types.1);
        let mut evidence = Evidence {
            elements: self.found.len() as u64,
            deviations: vec![[0.0; 2]; tools.len()],
            directions: vec![Direction::new(tools.len()); self.columns.len()],
            ..Evidence::default()
        };
        let Some((expected, others)) = self.columns.split_first() else { return evidence };
        let mut bounds = self.bounds(&tools);
        let members = expected.mixture.as_ref().map_or(0, |mixture| mixture.amplitudes.len());
        evidence.either = vec![0; bounds.len()];
        evidence.pruned = vec![Pruned::new(members); if open { bounds.len() } else { 0 }];
        let to = self.types.1;
        // Whether all elements so far are W, by way of these types, and what merging one adapter after another gives.
        let mut copies = [(None, true), (Some(Float::F16), true), (Some(Float::Bf16), true)];
        let mut sequential = parts;
        for (index, (&base, &found)) in self.base.iter().zip(self.found).enumerate() {
            let origin = self.origin.and_then(|origin| origin.get(index)).copied().unwrap_or(base);
            let delta = expected.delta[index];
            let merged = rounded(to, base + delta);
            let same = |value: f64| value == found || value.is_nan() && found.is_nan();
            evidence.equal += u64::from(same(merged));
            for (via, is_copy) in copies.iter_mut().filter(|(_, is_copy)| *is_copy) {
                *is_copy = same(rounded(to, via.map_or(origin, |via| rounded(via, origin))));
            }
            if !(merged.is_finite() && found.is_finite() && origin.is_finite()) {
                evidence.nonfinite += u64::from(!same(merged));
                continue;
            }
            evidence.base_sq += origin * origin;
            evidence.residual_sq += (found - base - delta) * (found - base - delta);
            let mut numbers = Numbers::new(base, found);
            let mut inside = false;
            for (number, (column, direction)) in self.columns.iter().zip(&mut evidence.directions).enumerate() {
                let whole = (parts && number > 0).then_some(expected);
                let element = element(column, whole, index);
                direction.dot += (found - base - element.rest) * element.delta;
                direction.sq += element.delta * element.delta;
                for (at, (tool, ranges)) in tools.iter().zip(&mut direction.factors).enumerate() {
                    if ranges.iter().all(Range::is_empty) {
                        continue;
                    }
                    let mut element = element;
                    if let Some(bounds) = bounds.get_mut(at).filter(|_| number == 0) {
                        let (hull, is_open) = bounds.hull(index, base);
                        element.spread = hull.spread(delta);
                        evidence.either[at] += u64::from(is_open);
                    }
                    let factors = tool.factors(&mut numbers, &element, column.terms);
                    inside |= number == 0 && factors[0].contains(1.0);
                    ranges.iter_mut().zip(factors).for_each(|(range, factors)| range.intersect(factors));
                }
            }
            let factors = evidence.directions.iter().take(1).flat_map(|direction| &direction.factors);
            for ((tool, ranges), sums) in tools.iter().zip(factors).zip(&mut evidence.deviations) {
                if ranges[0].contains(1.0) {
                    let deviation = (found - tool.rounded(&mut numbers, delta)) * delta;
                    sums[0] += deviation;
                    sums[1] += deviation * deviation;
                }
            }
            let whole = element(expected, None, index);
            let mut allows = |(at, tool): (usize, &Tool)| {
                let spread = bounds.get_mut(at).map_or(0.0, |bounds| bounds.hull(index, base).0.spread(delta));
                tool.factors(&mut numbers, &Element { spread, ..whole }, expected.terms)[0].contains(1.0)
            };
            evidence.outside += u64::from(!inside && !tools.iter().enumerate().any(&mut allows));
            for ((tool, bounds), pruned) in tools.iter().zip(&mut bounds).zip(&mut evidence.pruned) {
                if pruned.unexplained > 0 {
                    continue;
                }
                let window = tool.window(&mut numbers, &whole, expected.terms);
                let explained = window.and_then(|(window, _)| bounds.pruned(index, base, window));
                let Some(kept) = explained else {
                    pruned.unexplained += 1;
                    continue;
                };
                pruned.add(kept, |member, kept| bounds.threshold(member, index, base, kept));
            }
            sequential = sequential && self.one_by_one(others, base, found, index);
        }
        evidence.copies = copies.map(|(_, is_copy)| u64::from(is_copy));
        evidence.sequential = u64::from(sequential);
        evidence.jobs = 1;
        evidence
    }

    /// What each tool may do where a rule combines the deltas.
    fn bounds(&self, tools: &[Tool]) -> Vec<Bounds<'_>> {
        let Some(Column { mixture: Some(mixture), terms, .. }) = self.columns.first() else { return Vec::new() };
        tools.iter().map(|tool| mixture.bounds(tool.errors(terms.gamma), tool.cast)).collect()
    }

    /// Whether merging one adapter after another may give an element. Where the sum is as near to a midpoint as its error, both neighbours are
    /// carried on, which is an interval: rounding is monotone.
    fn one_by_one(&self, parts: &[Column], base: f64, found: f64, index: usize) -> bool {
        let float = self.types.1;
        let (unit, tiny) = units(float);
        let (mut low, mut high) = (rounded(float, base), rounded(float, base));
        for Column { delta, amplitude, terms, .. } in parts {
            let (delta, amplitude) = (delta[index], amplitude[index]);
            // The delta may have been rounded first.
            let error = 2.0 * terms.gamma * amplitude * (1.0 + unit) + unit * delta.abs() + 2.0 * tiny;
            let sum = 2.0 * units(Float::F32).0 * (low.abs().max(high.abs()) + delta.abs());
            low = rounded(float, low + delta - error - sum);
            high = rounded(float, high + delta + error + sum);
        }
        low <= found && found <= high
    }
}

/// An element with the delta of a column, and what is left of the expected one where the column is a part of it.
fn element(column: &Column, whole: Option<&Column>, index: usize) -> Element {
    let (delta, amplitude) = (column.delta[index], column.amplitude[index]);
    let beside = |of: fn(&Column) -> &[f64], part: f64| whole.map_or(0.0, |whole| of(whole)[index] - part);
    let rest = beside(|column| &column.delta, delta);
    let rest_amplitude = beside(|column| &column.amplitude, amplitude).max(0.0);
    Element { rest, delta, rest_amplitude, amplitude, spread: 0.0 }
}
