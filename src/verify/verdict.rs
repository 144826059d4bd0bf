//! From evidence to a verdict. Nothing is said that does not hold for every element: a factor, a tool or another merge counts where the bounds of
//! rounding allow it everywhere, and an estimate is only reported.

use super::arithmetic::{Tool, tools};
use super::check::factors;
use super::evidence::{Direction, Evidence, Pruned};
use super::report::{Instead, Verdict};
use super::share::{densities, is_mask, is_random};
use crate::op::LORA;
use crate::plan::Program;
use crate::tensor::Float;

/// Mistakes that multiply the delta by less than this more or less than 1 do not make a merge undecidable: in 16-bit types most weights have such neighbours.
const NEAR: f64 = 0.05;

/// Standard deviations, at most, that the sum of the deviations along the delta may have from 0. Where the deviations of the elements from the
/// expected merge are rounding errors, their signs are as good as random, and a sum of random signs is so far away with a probability of at
/// most 2·exp(−7²/2) = 5·10⁻¹¹ (Hoeffding's inequality).
pub(super) const DEVIATIONS: f64 = 7.0;

/// What was found out of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) rounding: Option<&'static str>,
    pub(super) instead: Vec<Instead>,
    /// Elements that may be either, of a merge by a method.
    pub(super) either: Option<u64>,
}

impl Judgement {
    pub(super) fn of(verdict: Verdict) -> Judgement {
        Judgement { verdict, rounding: None, instead: Vec::new(), either: None }
    }

    pub(super) fn different(what: &'static str) -> Judgement {
        let instead = vec![Instead { what, adapter: None, factor: None }];
        Judgement { instead, ..Judgement::of(Verdict::Different) }
    }

    /// Where nothing of the delta is left in the type.
    pub(super) fn undecidable() -> Judgement {
        Judgement { verdict: Verdict::Undecidable, ..Judgement::different("not-applied") }
    }

    fn rounded(rounding: &'static str) -> Judgement {
        Judgement { rounding: Some(rounding), ..Judgement::of(Verdict::Rounding) }
    }
}

/// What is to be judged.
pub(super) struct Case<'a> {
    /// The expected merge.
    pub(super) program: &'a Program,
    /// Of each adapter its name and its part of the program, where there are several.
    pub(super) parts: &'a [(String, Program)],
    /// The types of the base and of what was found.
    pub(super) types: (Float, Float),
    /// Whether an adapter's tensor should stand in its place.
    pub(super) replaced: bool,
    pub(super) evidence: &'a Evidence,
}

/// An explanation: by how exact a tool, and which.
type Explanation = (usize, Instead);

impl Case<'_> {
    /// The verdict, or `None` where other merges are to be tried first.
    pub(super) fn judge(&self) -> Option<Judgement> {
        let Evidence { jobs, nonfinite, copies, sequential, .. } = self.evidence;
        if *nonfinite > 0 {
            return Some(Judgement::different("not-finite"));
        }
        let is_base = copies.contains(jobs);
        if self.replaced {
            return Some(if self.is_cast() {
                Judgement::rounded("cast")
            } else if is_base {
                Judgement::different("not-applied")
            } else {
                return None;
            });
        }
        if self.program.updates.is_empty() {
            return Some(if is_base { Judgement::rounded("cast") } else { Judgement::different("not-the-base") });
        }
        let tools = tools(self.types.0, self.types.1);
        let expected = (0..tools.len()).find(|&tool| self.is_expected(tool, &tools));
        // It says more than that everything may have been computed in 16 bits.
        if expected != Some(0) && sequential == jobs && self.parts.len() > 1 {
            return Some(self.unless_undecidable(is_base, Vec::new(), "one-by-one"));
        }
        if let Some(tool) = expected {
            let looser = |(by, _): &Explanation| *by > tool;
            let named = self.named(tools.len(), NEAR).into_iter().filter(|other| !looser(other));
            let mut others: Vec<Instead> = named.map(|(_, instead)| instead).collect();
            // Where a rule combines the deltas, the second direction is their weighted sum.
            let sum = self.evidence.directions.get(1).filter(|_| self.program.combine.rule().is_some());
            if sum.is_some_and(|sum| (0..=tool).any(|tool| sum.allows(tool, 1.0))) {
                others.push(Instead { what: "linear", adapter: None, factor: None });
            }
            let judgement = self.unless_undecidable(is_base, others, tools[tool].name);
            return Some(Judgement { either: self.evidence.either.get(tool).copied(), ..judgement });
        }
        if is_base {
            return Some(Judgement::different("not-applied"));
        }
        None
    }

    /// The verdict after other merges were tried: `others` are what they are called, `directions` what was found of them.
    pub(super) fn judge_others(
        &self,
        others: &[&'static str],
        directions: &[Direction],
        pruned: &[Pruned],
    ) -> Judgement {
        let count = tools(self.types.0, self.types.1).len();
        let mut all = self.named(count, 0.0);
        for (&what, direction) in others.iter().zip(directions) {
            let by = (0..count).find(|&tool| direction.allows(tool, 1.0));
            all.extend(by.map(|tool| (tool, Instead { what, adapter: None, factor: None })));
        }
        // What explains every element with our own random values says more than what does with some.
        if all.is_empty() && is_random(self.program) && pruned.iter().any(|pruned| is_mask(self.program, pruned)) {
            return Judgement { verdict: Verdict::Undecidable, ..Judgement::different("other-mask") };
        }
        for (tool, pruned) in pruned.iter().enumerate() {
            all.extend(densities(self.program, pruned).into_iter().map(|instead| (tool, instead)));
        }
        // A weight that has no name explains less than what has one.
        if all.is_empty() {
            all = self.weighed(count);
        }
        let least = all.iter().map(|(tool, _)| *tool).min();
        let mut instead: Vec<Instead> = Vec::new();
        for (tool, one) in all {
            if Some(tool) == least && !instead.contains(&one) {
                instead.push(one);
            }
        }
        Judgement { instead, ..Judgement::of(Verdict::Different) }
    }

    /// Whether all elements are those of the expected replacement, by way of some type.
    fn is_cast(&self) -> bool {
        self.evidence.equal == self.evidence.elements
    }

    fn unless_undecidable(&self, is_base: bool, mut others: Vec<Instead>, rounding: &'static str) -> Judgement {
        if is_base {
            others.insert(0, Instead { what: "not-applied", adapter: None, factor: None });
        }
        match others.is_empty() {
            true => Judgement::rounded(rounding),
            false => Judgement { instead: others, ..Judgement::of(Verdict::Undecidable) },
        }
    }

    /// Whether a tool gives what was found, with the expected weights.
    fn is_expected(&self, tool: usize, tools: &[Tool]) -> bool {
        let Some(direction) = self.evidence.directions.first() else { return false };
        let [sum, squares] = self.evidence.deviations.get(tool).copied().unwrap_or_default();
        let systematic = tools.get(tool).map_or(0.0, Tool::systematic) * direction.sq;
        // The errors of other methods may well all go the same way.
        let random = self.program.combine.rule().is_none()
            && self.program.updates.iter().all(|update| *update.op.method == LORA);
        direction.allows(tool, 1.0) && (!random || sum.abs() <= systematic + DEVIATIONS * squares.sqrt())
    }

    /// The mistakes that have a name and explain every element, with a factor that is further than `near` from 1.
    fn named(&self, tools: usize, near: f64) -> Vec<Explanation> {
        let mut all = Vec::new();
        for (direction, adapter, program) in self.directions() {
            let mut mistakes = factors(program);
            mistakes.retain(|(_, factor)| (factor - 1.0).abs() > near);
            if adapter.is_some() {
                mistakes.push(("not-applied", 0.0));
            }
            for (what, factor) in mistakes {
                let by = (0..tools).find(|&tool| direction.allows(tool, factor));
                all.extend(by.map(|tool| (tool, Instead { what, adapter: adapter.cloned(), factor: None })));
            }
        }
        all
    }

    /// Other weights that explain every element, of all adapters or of one.
    fn weighed(&self, tools: usize) -> Vec<Explanation> {
        let mut all = Vec::new();
        for (direction, adapter, _) in self.directions() {
            // Which tool it was is not known: all that any of them allows.
            let allowed = (0..tools).filter_map(|tool| Some((tool, direction.allowed(tool)?)));
            let both =
                |(tool, (a, b)): (usize, (f64, f64)), (_, (c, d)): (usize, (f64, f64))| (tool, (a.min(c), b.max(d)));
            let Some((tool, (least, most))) = allowed.reduce(both) else { continue };
            let instead = Instead { what: "other-weight", adapter: adapter.cloned(), factor: Some([least, most]) };
            all.push((tool, instead));
        }
        all
    }

    /// Each direction with the adapter that it is of, where it is one of several.
    fn directions(&self) -> impl Iterator<Item = (&Direction, Option<&String>, &Program)> {
        let whole = std::iter::once((None, self.program));
        let parts = self.parts.iter().map(|(name, program)| (Some(name), program));
        self.evidence
            .directions
            .iter()
            .zip(whole.chain(parts))
            .map(|(direction, (name, program))| (direction, name, program))
    }
}
