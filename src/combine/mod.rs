//! Rules for combining the updates of several adapters on one weight. Every rule is a file here and a variant of [`Combine`].
//!
//! The weighted sum takes all updates at once. Every other rule takes the delta of each adapter by itself, D = op(W) − W, tile by tile: what it
//! must know of whole deltas (which values are the largest, sums of products) are facts that are gathered before.

mod blend;
mod fate;
mod found;
mod lanes;
mod linear;
mod mask;
mod mix;
mod sce;
mod select;
mod sparse;

pub use blend::{Blend, BlendKind};
pub use fate::Fate;
pub use found::Found;
pub use mix::{Divide, Election};
pub use sce::Sce;
pub use select::{Search, Selection, Tally};
pub use sparse::{Member, Prune, Rescale, Sparse};

pub(crate) use fate::{absorb as absorb_fates, put as put_fates, take as take_fates};
pub(crate) use lanes::Lanes;
pub(crate) use linear::add_weighted;
pub(crate) use mask::limit;
pub(crate) use sce::NOTHING;
pub(crate) use select::SAMPLED;

use crate::wire::wire_enum;

/// How the deltas of several updates become one.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Combine {
    /// The exact weighted sum.
    #[default]
    Linear,
    /// Each adapter's delta is pruned, and the weighted sum is taken of those whose signs agree.
    Sparse(Sparse),
    /// The weighted sum of what differs most, with weights from the deltas themselves.
    Sce(Sce),
    /// A sum with one coefficient for each delta, from lengths and angles.
    Blend(Blend),
}

wire_enum!(Combine { Linear, Sparse(sparse), Sce(sce), Blend(blend) });

/// The delta of an adapter for some elements of a weight.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    /// Which of the adapters that change the weight it is of.
    pub(crate) member: usize,
    /// The adapter's weight.
    pub(crate) weight: f32,
    /// D = op(W) − W.
    pub(crate) values: Vec<f32>,
}

/// What a rule is told of the elements that it works on: a run of them, or one of each of several rows.
pub(crate) struct Part<'a> {
    /// The first of them.
    pub(crate) first: u64,
    /// Elements of a run, and from the start of one to that of the next.
    pub(crate) width: usize,
    pub(crate) step: u64,
    /// Columns of the weight.
    pub(crate) cols: usize,
    /// The facts: which values are kept …
    pub(crate) selections: &'a [Selection],
    /// … and sums over the whole weight.
    pub(crate) sums: &'a [f64],
}

impl Part<'_> {
    /// The values of each run, with the number of its first element.
    pub(crate) fn runs<'v>(&self, values: &'v mut [f32]) -> impl Iterator<Item = (u64, &'v mut [f32])> {
        let (first, step) = (self.first, self.step);
        (0..).zip(values.chunks_mut(self.width.max(1))).map(move |(number, run)| (first + number * step, run))
    }
}

/// A rule that takes the delta of each adapter by itself.
pub(crate) trait Rule {
    /// Which values it must know to be the largest of a weight of so many elements, before the first is looked at. `sampled`: whether a sample can
    /// be had.
    fn selections(&self, elements: u64, sampled: bool) -> Vec<Selection>;

    /// Of which adapter's delta selection number `number` is, where it is one's alone.
    fn member_of(&self, _number: usize) -> Option<usize> {
        None
    }

    /// The values among which selection number `number` is made; none where they are all zero. `scratch` is memory for them.
    fn ranked<'d>(&self, number: usize, deltas: &'d [Delta], _scratch: &'d mut Vec<f32>) -> Option<&'d [f32]> {
        let member = self.member_of(number);
        deltas.iter().find(|delta| member == Some(delta.member)).map(|delta| delta.values.as_slice())
    }

    /// How many sums over the whole weight it must know.
    fn sums(&self) -> usize;

    /// Whether it needs whole rows of the deltas.
    fn whole_rows(&self) -> bool {
        false
    }

    /// Whether the base's values come as one delta more, whose number is that of the members.
    fn takes_base(&self) -> bool {
        false
    }

    /// Add what `deltas` are worth to the sums over the whole weight.
    fn gather(&self, deltas: &mut [Delta], part: &Part, sums: &mut [Lanes]);

    /// The one delta that `deltas` become, into `out`. What becomes of their values is added to `fates`, by a rule that takes some away.
    fn combine(&self, deltas: &mut [Delta], part: &Part, fates: Option<&mut Vec<Fate>>, out: &mut [f32]);
}

impl Combine {
    /// The rule, where it is not the weighted sum.
    pub(crate) fn rule(&self) -> Option<&dyn Rule> {
        match self {
            Combine::Linear => None,
            Combine::Sparse(sparse) => Some(sparse),
            Combine::Sce(sce) => Some(sce),
            Combine::Blend(blend) => Some(blend),
        }
    }
}
