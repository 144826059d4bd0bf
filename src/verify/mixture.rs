//! Merges by a method: what other tools may make of the deltas of several adapters, element by element.
//!
//! A tool's delta D'_i is at most e_i from the exact D_i (`arithmetic.rs`). With the relative error ρ and the error α·P of an amplitude, |D'| lies between
//! |D|·(1 − ρ) − α·max P and |D|·(1 + ρ) + α·max P, both of which grow with |D|; so the k-th largest of a tool's values lies as near to ours, t. Hence an
//! element with | |D| − t | ≤ e + ρ·t + α·max P may be kept or not. Of variances (SCE) the root moves by at most the largest e_i. Where a vote's sum is within its
//! error of 0, either sign may be elected; a delta within its error of 0 may agree or not. For each element all that is left open is tried: the delta lies between
//! the least and the most that comes of it.
//!
//! What is kept is scaled, weighed, added up and divided: each step is a rounding of at most u of a term. Sums over the whole tensor (energies, magnitudes) are
//! taken to be known to 8 more of them, products of whole deltas (angles) to 4·u of themselves and, because the errors of n elements are as good as random, to
//! 42·ρ/√n of the product of both lengths (Hoeffding's inequality, as for `DEVIATIONS` in `verdict.rs`).

use super::arithmetic::{Errors, units};
use super::hull::Hull;
use super::weights::Range;
use crate::combine::{Combine, Divide, Election, Found, NOTHING, Prune, Rescale, Selection};
use crate::engine::Mixed;
use crate::tensor::Float;

/// Adapters that may be kept or dropped in one element, at most, so that all possibilities are tried; with more of them nothing is said of it.
const OPEN: usize = 8;

/// Roundings of a term beside those of its delta.
const ROUNDINGS: f64 = 12.0;

/// Below which a sum of weights is what rounding left of 0, as in the merge.
const NO_WEIGHT: f64 = 1e-6;

/// The deltas of some elements, and what bounds their errors.
pub(super) struct Mixture {
    /// How they are combined.
    pub(super) rule: Combine,
    /// What comes of it.
    pub(super) mixed: Mixed,
    /// The amplitude of each adapter's delta.
    pub(super) amplitudes: Vec<Vec<f64>>,
    /// The largest amplitude of each in the whole tensor.
    pub(super) largest: Vec<f64>,
    /// How each is made.
    pub(super) kinds: Vec<Kind>,
    /// The relative error of DoRA's norms.
    pub(super) norm: Option<f64>,
    /// Elements of the whole tensor.
    pub(super) elements: u64,
}

/// How an adapter's delta is made, as far as its errors depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As the difference of a whole model with W.
    Model,
    /// With norms.
    Normalised,
    /// It is no delta but W itself, which a rule blends with the others.
    Base,
    /// Otherwise.
    Other,
}

/// Whether a tool keeps the value of an adapter in an element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    Yes,
    No,
    Either,
}

impl Kept {
    fn of(is: bool) -> Kept {
        if is { Kept::Yes } else { Kept::No }
    }
}

/// The value of one adapter in an element, after pruning.
#[derive(Clone, Copy)]
struct Term {
    kept: Kept,
    /// Scaled, where it is kept.
    value: f64,
    /// How far it may be off.
    error: f64,
    /// How far it may be off in a vote.
    vote: f64,
    /// How far it may be off in the sum.
    weighed: f64,
    weight: f64,
}

/// What a tool with these errors may do: the same for all elements.
pub(super) struct Bounds<'m> {
    mixture: &'m Mixture,
    errors: Errors,
    /// The type that W is rounded to before.
    cast: Option<Float>,
    /// How far the coefficients of a blend may be off.
    sway: Vec<f64>,
    /// What values that are kept are multiplied with.
    scales: Vec<f64>,
    /// The relative error of that.
    of_scale: Vec<f64>,
    /// Memory for those of an element.
    terms: Vec<Term>,
}

impl Mixture {
    /// What a tool may do that has these errors, and rounds W to a type before.
    pub(super) fn bounds(&self, errors: Errors, cast: Option<Float>) -> Bounds<'_> {
        let count = self.mixed.deltas.len();
        let (mut sway, mut scales, mut of_scale) = (Vec::new(), vec![1.0; count], vec![0.0; count]);
        let relative = errors.of_delta + errors.of_amplitude;
        let root = (self.elements.max(1) as f64).sqrt();
        match &self.rule {
            Combine::Blend(blend) => {
                sway =
                    blend.sway(&self.mixed.sums, 4.0 * errors.unit, 42.0 * relative / root + 4.0 * units(Float::F32).0);
            }
            Combine::Sparse(sparse) => {
                for (number, scale) in scales.iter_mut().enumerate() {
                    *scale = sparse.scale(number, &self.mixed.sums).into();
                }
                if sparse.rescale == Rescale::Magnitudes {
                    let share = |kept: f64| 8.0 / (self.elements.max(1) as f64 * kept).sqrt();
                    of_scale = sparse.members.iter().map(|member| share(member.density)).collect();
                }
            }
            _ => {}
        }
        Bounds { mixture: self, errors, cast, sway, scales, of_scale, terms: Vec::new() }
    }
}

impl Bounds<'_> {
    /// How far the delta of an adapter may be off in an element.
    fn error(&self, member: usize, index: usize, base: f64) -> f64 {
        let Mixture { mixed, amplitudes, kinds, norm, .. } = self.mixture;
        let Errors { of_amplitude, of_delta, of_norm, .. } = self.errors;
        let value = mixed.deltas[member][index].abs();
        let own = match kinds[member] {
            Kind::Model => self.cast.map_or(0.0, |cast| units(cast).0 * (2.0 * base.abs() + value)),
            Kind::Normalised => (norm.unwrap_or(0.0) + of_norm) * (base.abs() + value),
            Kind::Base => return self.cast.map_or(0.0, |cast| units(cast).0 * base.abs()),
            Kind::Other => 0.0,
        };
        of_amplitude * amplitudes[member][index] + of_delta * value + own
    }

    /// How far a threshold among the values of an adapter may be off.
    fn of_threshold(&self, member: usize, threshold: f64) -> f64 {
        self.errors.of_delta * threshold + self.errors.of_amplitude * self.mixture.largest[member]
    }

    /// Whether a value is above a threshold.
    fn above(&self, selection: Option<&Selection>, member: usize, value: f64, error: f64) -> Option<Kept> {
        let Found { key, .. } = selection?.found()?;
        if key == Found::ALL.key || key == Found::NONE.key {
            return Some(Kept::of(key == Found::ALL.key));
        }
        let threshold = f64::from(f32::from_bits(key));
        // Equal values are kept by their numbers, which is another number with other tools.
        let near = (value.abs() - threshold).abs() <= error + self.of_threshold(member, threshold);
        Some(if near { Kept::Either } else { Kept::of(value.abs() > threshold) })
    }

    /// Whether a tool keeps the value of an adapter, whose delta may be off by `error`. `open`: it prunes as it likes.
    fn kept(&self, member: usize, index: usize, error: f64, open: bool) -> Kept {
        let Mixed { deltas, left, selections, .. } = &self.mixture.mixed;
        let Combine::Sparse(sparse) = &self.mixture.rule else { return Kept::Yes };
        if sparse.prune == Prune::Nothing || sparse.members.get(member).is_none_or(|own| own.density >= 1.0) {
            return Kept::Yes;
        }
        if open {
            return Kept::Either;
        }
        let value = deltas[member][index];
        let above = |at: usize| self.above(selections.get(member * sparse.each() + at), member, value, error);
        match sparse.prune {
            Prune::Smallest => above(0).unwrap_or(Kept::Either),
            Prune::Outliers => match (above(0), above(1)) {
                (Some(Kept::Yes), Some(Kept::No)) => Kept::Yes,
                (Some(Kept::No), _) | (_, Some(Kept::Yes)) => Kept::No,
                _ => Kept::Either,
            },
            // Which ones is decided by random numbers: ours.
            _ => Kept::of(left[member][index] != 0.0 || value == 0.0),
        }
    }

    /// Whether a tool selects an element for all deltas, because they differ enough. `error`: how far one of them may be off, at most.
    fn selected(&self, index: usize, error: f64) -> Kept {
        let Mixed { deltas, selections, .. } = &self.mixture.mixed;
        let Some(found) = selections.first().and_then(Selection::found) else { return Kept::Yes };
        if found.key == Found::ALL.key || found.key == Found::NONE.key {
            return Kept::of(found.key == Found::ALL.key);
        }
        let count = deltas.len() as f64;
        let mean = deltas.iter().map(|delta| delta[index]).sum::<f64>() / count;
        let squares: f64 = deltas.iter().map(|delta| (delta[index] - mean) * (delta[index] - mean)).sum();
        let (deviation, threshold) = ((squares / count).sqrt(), f64::from(f32::from_bits(found.key)).sqrt());
        let largest = self.mixture.largest.iter().fold(0.0f64, |most, &value| most.max(value));
        let of_threshold = (self.errors.of_amplitude + self.errors.of_delta) * largest + 1e-6 * threshold;
        let near = (deviation - threshold).abs() <= error + of_threshold;
        if near { Kept::Either } else { Kept::of(deviation > threshold) }
    }

    /// The terms of an element.
    fn fill(&mut self, index: usize, base: f64, open: bool) {
        let mut terms = std::mem::take(&mut self.terms);
        terms.clear();
        let Mixed { deltas, weights, .. } = &self.mixture.mixed;
        let mut largest = 0.0f64;
        for member in 0..deltas.len() {
            let (own, scale) = (self.error(member, index, base), self.scales[member]);
            largest = largest.max(own);
            let (value, weight) = (deltas[member][index] * scale, weights[member]);
            let of_scale = if open { self.of_scale[member] } else { 0.0 };
            let error = own * scale + of_scale * value.abs();
            let vote = error + 4.0 * self.errors.unit * value.abs();
            let sway = self.sway.get(member).copied().unwrap_or(0.0);
            let weighed = weight.abs() * (error + ROUNDINGS * self.errors.unit * value.abs()) + sway * value.abs();
            terms.push(Term { kept: self.kept(member, index, own, open), value, error, vote, weighed, weight });
        }
        if matches!(self.mixture.rule, Combine::Sce(_)) {
            let kept = self.selected(index, largest);
            terms.iter_mut().for_each(|term| term.kept = kept);
        }
        self.terms = terms;
    }

    /// The deltas that the tool may get in an element, whose base is `base`, and whether something of it was left open.
    pub(super) fn hull(&mut self, index: usize, base: f64) -> (Hull, bool) {
        self.fill(index, base, false);
        let mut hull = Hull::EMPTY;
        let open = each_mixture(&self.mixture.rule, &self.terms, &mut |_, value, error| hull.add(value, error));
        match open {
            // So much is open that nothing can be said.
            None => (Hull::ALL, true),
            Some(ways) => (hull, ways > 1),
        }
    }

    /// Which adapters' values are kept, and which dropped, in everything that gives a delta within `window`, where any of them may be; none where nothing
    /// does. An element in which too much is open leaves all open.
    pub(super) fn pruned(&mut self, index: usize, base: f64, window: [f64; 2]) -> Option<[u64; 2]> {
        self.fill(index, base, true);
        let (mut kept, mut dropped, mut any) = (u64::MAX, u64::MAX, false);
        let ways = each_mixture(&self.mixture.rule, &self.terms, &mut |mask, value, error| {
            let mut hull = Hull::EMPTY;
            hull.add(value, error);
            if hull.touches(window) {
                any = true;
                kept &= mask;
                dropped &= !mask;
            }
        });
        // A value that is 0 is neither.
        let something = self.terms.iter().enumerate().filter(|(_, term)| term.value != 0.0);
        let known =
            something.filter(|(_, term)| term.kept == Kept::Either).fold(0, |all, (member, _)| all | 1 << member);
        match (ways, any) {
            (None, _) => Some([0, 0]),
            (_, false) => None,
            _ => Some([kept & known, dropped & known]),
        }
    }

    /// Between which thresholds the tool has pruned an adapter's values, where this one was kept, or was dropped.
    pub(super) fn threshold(&self, member: usize, index: usize, base: f64, kept: bool) -> Range {
        let value = self.mixture.mixed.deltas[member][index].abs();
        let error = self.error(member, index, base) + self.of_threshold(member, value);
        if kept { Range { most: value + error, ..Range::ANY } } else { Range { least: value - error, ..Range::ANY } }
    }
}

/// Hand everything that the terms may become to `each`: which of them are kept, the delta, its error. How many ways there are; none where there are too
/// many.
fn each_mixture(rule: &Combine, terms: &[Term], each: &mut dyn FnMut(u64, f64, f64)) -> Option<usize> {
    let (election, weighted, divide) = match rule {
        Combine::Sparse(sparse) => (sparse.election, sparse.weighted, sparse.divide),
        Combine::Sce(_) => (Election::Total, false, Divide::AtLeast(NOTHING)),
        _ => (Election::None, false, Divide::No),
    };
    let open: Vec<usize> = (0..terms.len()).filter(|&term| terms[term].kept == Kept::Either).collect();
    // SCE selects an element of all deltas at once.
    let together = matches!(rule, Combine::Sce(_)) && !open.is_empty();
    if open.len() > OPEN || terms.len() > 64 {
        return None;
    }
    let fixed =
        (0..terms.len()).filter(|&term| terms[term].kept == Kept::Yes).fold(0u64, |mask, term| mask | 1 << term);
    let mut ways = 0;
    for choice in 0..if together { 2 } else { 1u64 << open.len() } {
        let mask = match (together, choice) {
            (true, 0) => fixed,
            (true, _) => open.iter().fold(fixed, |mask, term| mask | 1 << term),
            _ => open.iter().enumerate().fold(fixed, |mask, (bit, term)| mask | (choice >> bit & 1) << term),
        };
        ways += sides(terms, mask, election, weighted, divide, each)?;
    }
    Some(ways)
}

/// The same of those terms that are in `mask`, for each sign that may be elected.
fn sides(
    terms: &[Term],
    mask: u64,
    election: Election,
    weighted: bool,
    divide: Divide,
    each: &mut dyn FnMut(u64, f64, f64),
) -> Option<usize> {
    let is_kept = |term: usize| mask >> term & 1 == 1;
    if election == Election::None {
        let (value, error) = total(terms, mask, divide, true);
        each(mask, value, error);
        return Some(1);
    }
    let votes = |term: &Term| if weighted { term.weight } else { 1.0 };
    let (mut least, mut most) = (0.0, 0.0);
    for term in terms.iter().enumerate().filter(|(number, _)| is_kept(*number)).map(|(_, term)| term) {
        let (vote, factor) = (votes(term) * term.value, votes(term).abs());
        let (error, of_sum) = (factor * term.error, factor * term.vote);
        match election {
            Election::Frequency => (least, most) = (least + sign(vote - error), most + sign(vote + error)),
            _ => (least, most) = (least + vote - of_sum, most + vote + of_sum),
        }
    }
    let mut ways = 0;
    for side in [1.0, -1.0] {
        if (side > 0.0 && most < 0.0) || (side < 0.0 && least >= 0.0) {
            continue;
        }
        let (mut agree, mut open) = (0u64, Vec::new());
        for (number, term) in terms.iter().enumerate().filter(|(number, _)| is_kept(*number)) {
            let (vote, error) = (side * votes(term) * term.value, votes(term).abs() * term.error);
            if vote - error > 0.0 {
                agree |= 1 << number;
            } else if vote + error > 0.0 {
                open.push(number);
            }
        }
        if open.len() > OPEN {
            return None;
        }
        for choice in 0..1u64 << open.len() {
            let of = open.iter().enumerate().fold(agree, |of, (bit, number)| of | (choice >> bit & 1) << number);
            let (value, error) = total(terms, of, divide, false);
            each(mask, value, error);
            ways += 1;
        }
    }
    Some(ways)
}

/// The sum of the terms in `mask`, divided, and its error.
fn total(terms: &[Term], mask: u64, divide: Divide, all: bool) -> (f64, f64) {
    let (mut value, mut error, mut weights, mut count) = (0.0, 0.0, 0.0, 0.0);
    for term in terms.iter().enumerate().filter(|(number, _)| mask >> number & 1 == 1).map(|(_, term)| term) {
        value += term.weight * term.value;
        error += term.weighed;
        weights += term.weight;
        count += 1.0;
    }
    let divisor = match divide {
        Divide::By(number) => number,
        _ if all => 1.0,
        Divide::No => 1.0,
        Divide::Agreeing => f64::max(count, 1.0),
        Divide::AtLeast(least) => f64::max(weights, least),
        Divide::Weights if f64::abs(weights) < NO_WEIGHT => 1.0,
        Divide::Weights => weights,
    };
    (value / divisor, error / divisor.abs())
}

fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}
