//! What the jobs of a check find: sums and counts that are added in the order of the jobs, so that neither workers nor their order can show.

use super::weights::Range;
use crate::wire::wire;

/// What a job, or all jobs of a check, found of a tensor. W is the base, Δ the delta that is expected, M what was found.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Evidence {
    /// Elements that were looked at.
    pub(super) elements: u64,
    /// Elements whose bits are those of the expected merge.
    pub(super) equal: u64,
    /// Elements that the expected merge changes: whose bits are not those of W in the type of M.
    pub(super) changed: u64,
    /// ‖Δ‖² as far as it was computed with the merge.
    pub(super) delta_sq: f64,
    /// ‖W‖²
    pub(super) base_sq: f64,
    /// ‖M − W − Δ‖²
    pub(super) residual_sq: f64,
    /// Jobs that looked at values.
    pub(super) jobs: u64,
    /// Those of them in which every element is W in the type of M: rounded at once, by way of F16, by way of BF16.
    pub(super) copies: [u64; 3],
    /// Those of them in which every element may come of merging one adapter after another, each sum rounded.
    pub(super) sequential: u64,
    /// Elements of which M, or what it should be, is no finite number, where the two are not the same.
    pub(super) nonfinite: u64,
    /// Elements of which no tool with the expected weights gives M.
    pub(super) outside: u64,
    /// For each tool ⟨M − M', Δ⟩ and Σ((M − M')·Δ)², where M' is the expected merge with its roundings of W and of the sum alone.
    pub(super) deviations: Vec<[f64; 2]>,
    /// Of each direction in which M may differ from what is expected.
    pub(super) directions: Vec<Direction>,
    /// For each tool the elements in which it may keep other values, or elect another sign.
    pub(super) either: Vec<u64>,
    /// For each tool what it may have kept, if it pruned deltas otherwise.
    pub(super) pruned: Vec<Pruned>,
}

wire!(Evidence {
    elements,
    equal,
    changed,
    delta_sq,
    base_sq,
    residual_sq,
    jobs,
    copies,
    sequential,
    nonfinite,
    outside,
    deviations,
    directions,
    either,
    pruned
});

/// What a tool may have kept of the deltas of each adapter.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Pruned {
    /// Elements that nothing which it may keep explains.
    pub(super) unexplained: u64,
    /// Of each adapter the elements that must have been kept, and those that must have been dropped.
    pub(super) counts: Vec<[u64; 2]>,
    /// Of each the thresholds that are between them.
    pub(super) thresholds: Vec<Range>,
}

wire!(Pruned { unexplained, counts, thresholds });

impl Pruned {
    pub(super) fn new(members: usize) -> Pruned {
        Pruned { unexplained: 0, counts: vec![[0; 2]; members], thresholds: vec![Range::ANY; members] }
    }

    /// Add an element in which these adapters' values must have been kept, and those dropped. `threshold` gives what follows for one.
    pub(super) fn add(&mut self, [kept, dropped]: [u64; 2], threshold: impl Fn(usize, bool) -> Range) {
        for (member, (counts, range)) in self.counts.iter_mut().zip(&mut self.thresholds).enumerate() {
            for (number, is) in [kept, dropped].into_iter().enumerate() {
                if is.checked_shr(member as u32).unwrap_or(0) & 1 == 1 {
                    counts[number] += 1;
                    range.intersect(threshold(member, number == 0));
                }
            }
        }
    }

    fn absorb(&mut self, next: Pruned) {
        self.unexplained += next.unexplained;
        for (counts, next) in self.counts.iter_mut().zip(next.counts) {
            counts.iter_mut().zip(next).for_each(|(count, next)| *count += next);
        }
        self.thresholds.iter_mut().zip(next.thresholds).for_each(|(range, next)| range.intersect(next));
    }
}

/// A delta that M may have at another weight than was expected, the rest being as expected.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Direction {
    /// ⟨M − W − the rest, delta⟩
    pub(super) dot: f64,
    /// ‖delta‖²
    pub(super) sq: f64,
    /// For each tool the factors on the delta that all elements allow: those of at least 0, and the absolute values of those of at most 0.
    pub(super) factors: Vec<[Range; 2]>,
}

wire!(Direction { dot, sq, factors });

impl Direction {
    pub(super) fn new(tools: usize) -> Direction {
        Direction { dot: 0.0, sq: 0.0, factors: vec![[Range::ANY; 2]; tools] }
    }

    /// Whether a tool gives M with this factor.
    pub(super) fn allows(&self, tool: usize, factor: f64) -> bool {
        let side = usize::from(factor < 0.0);
        self.factors.get(tool).is_some_and(|ranges| ranges[side].contains(factor.abs()))
    }

    /// The factors that a tool allows, from the least to the most; `None` where there are none, or there is no end to them.
    pub(super) fn allowed(&self, tool: usize) -> Option<(f64, f64)> {
        let [above, below] = self.factors.get(tool)?;
        let (least, most) = match (above.is_empty(), below.is_empty()) {
            (true, true) => return None,
            (false, true) => (above.least, above.most),
            (true, false) => (-below.most, -below.least),
            (false, false) => (-below.most, above.most),
        };
        (least.is_finite() && most.is_finite()).then_some((least, most))
    }

    /// The factor that is nearest to M by least squares.
    pub(super) fn estimate(&self) -> Option<f64> {
        Some(self.dot / self.sq).filter(|estimate| estimate.is_finite())
    }
}

impl Evidence {
    /// Add what the next job found.
    pub(super) fn absorb(&mut self, next: Evidence) {
        self.elements += next.elements;
        self.equal += next.equal;
        self.changed += next.changed;
        self.delta_sq += next.delta_sq;
        self.base_sq += next.base_sq;
        self.residual_sq += next.residual_sq;
        self.jobs += next.jobs;
        self.copies.iter_mut().zip(next.copies).for_each(|(sum, next)| *sum += next);
        self.nonfinite += next.nonfinite;
        self.outside += next.outside;
        self.sequential += next.sequential;
        if self.directions.is_empty() {
            (self.directions, self.deviations) = (next.directions, next.deviations);
            (self.either, self.pruned) = (next.either, next.pruned);
            return;
        }
        self.either.iter_mut().zip(next.either).for_each(|(sum, next)| *sum += next);
        self.pruned.iter_mut().zip(next.pruned).for_each(|(sum, next)| sum.absorb(next));
        for (sums, next) in self.deviations.iter_mut().zip(next.deviations) {
            sums.iter_mut().zip(next).for_each(|(sum, next)| *sum += next);
        }
        for (sum, next) in self.directions.iter_mut().zip(next.directions) {
            sum.dot += next.dot;
            sum.sq += next.sq;
            for (ranges, next) in sum.factors.iter_mut().zip(next.factors) {
                ranges.iter_mut().zip(next).for_each(|(range, next)| range.intersect(next));
            }
        }
    }
}
