//! What a verification says.

use serde::Serialize;

use crate::findings::Finding;
use crate::order::sort_by;
use crate::plan::report::FileSize;

/// Whether a merged model contains exactly what it should, tensor by tensor, and what it is where it does not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct VerifyReport {
    /// Version of lorafold.
    pub lorafold: String,
    /// The verdict on the whole model.
    pub verdict: Verdict,
    /// Name of the base's folder.
    pub base: String,
    /// Name of the merged model's folder.
    pub merged: String,
    /// The adapters that it should contain.
    pub adapters: Vec<ExpectedAdapter>,
    /// How many tensors got which verdict.
    pub counts: VerdictCounts,
    /// What the merged model has instead, what is most frequent first; nothing where it is verified.
    pub instead: Vec<InsteadCount>,
    /// Every tensor that it should have.
    pub tensors: Vec<TensorVerdict>,
    /// The weight files that were compared.
    pub files: Vec<FileSize>,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// An adapter that a merged model should contain.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct ExpectedAdapter {
    /// Its name.
    pub name: String,
    /// Factor on its whole delta.
    pub weight: f64,
}

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verdict {
    /// Every bit is that of the exact merge, rounded once.
    Bits,
    /// Every element is what another order of sums, or other roundings on the way, give.
    Rounding,
    /// The deltas are below what the element type can show: it may be the merge, and may be something else.
    Undecidable,
    /// It is something else.
    Different,
    /// It is not there.
    Missing,
}

/// How many tensors got which verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct VerdictCounts {
    /// Equal bits.
    pub bits: usize,
    /// Equal up to roundings.
    pub rounding: usize,
    /// Below what the type can show.
    pub undecidable: usize,
    /// Something else.
    pub different: usize,
    /// Not there.
    pub missing: usize,
}

/// The verdict on one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TensorVerdict {
    /// Its name.
    pub name: String,
    /// What was found out.
    #[cfg_attr(test, ts(inline))]
    pub verdict: Verdict,
    /// Whether an adapter changes it.
    pub merged: bool,
    /// How it was computed where its bits are not those of the exact merge: `sum-order` (f32 in another order), `base-cast` (the base rounded
    /// first), `delta-in-f16`, `delta-in-bf16` (the delta rounded first), `computed-in-f16`, `computed-in-bf16`, `one-by-one` (rounded after each
    /// adapter), `cast` (a copy by way of another type).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounding: Option<&'static str>,
    /// What it is instead. Where several explain every element, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<Instead>>"))]
    pub instead: Vec<Instead>,
    /// Number of elements.
    pub elements: u64,
    /// Elements whose bits are those of the exact merge.
    pub equal: u64,
    /// Elements in which a merge by a method may have kept other values, or elected another sign, because ours is so near a limit: there every such value is
    /// taken for right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub either: Option<u64>,
    /// Elements that no rounding explains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<u64>,
    /// ⟨M − W, ΔW⟩/‖ΔW‖²: about which multiple of the delta the tensor has. Rounding makes it smaller where deltas are small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<f64>,
    /// ‖M − W − ΔW‖/‖W‖: what the expected merge leaves unexplained, rounding included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<f64>,
}

/// What a tensor is instead of the merge.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct Instead {
    /// `not-applied`, `twice`, `sign-flipped`, `scale-alpha-over-r`, `scale-alpha-over-sqrt-r`, `scale-alpha`, `scale-one`, `scale-twice`,
    /// `weight-ignored`, `weight-twice`, `other-weight`, `transposed`, `halves-swapped`, `halves-interleaved`, `no-magnitude`, `linear` (the weighted
    /// sum), `other-density`, `other-mask` (other random numbers), `not-the-base` (of a tensor that no adapter changes), `other-shape`, `other-type`,
    /// `not-finite`.
    pub what: &'static str,
    /// The adapter concerned, where it is one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The least and the most that the factor on the expected delta can be, of `other-weight`; that the share of the adapter's delta can be which was kept, of
    /// `other-density`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<[f64; 2]>,
}

/// What tensors are instead, and how many.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct InsteadCount {
    /// As in `Instead`; `other-base` where tensors differ that no adapter changes, `unexplained` where nothing that is known explains all elements.
    pub what: &'static str,
    /// The adapter concerned, where it is one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// Number of tensors.
    pub tensors: usize,
}

impl VerifyReport {
    /// Whether the merged model contains exactly what it should.
    pub fn is_verified(&self) -> bool {
        matches!(self.verdict, Verdict::Bits | Verdict::Rounding)
    }
}

impl VerdictCounts {
    /// Count one more.
    pub(super) fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Bits => &mut self.bits,
            Verdict::Rounding => &mut self.rounding,
            Verdict::Undecidable => &mut self.undecidable,
            Verdict::Different => &mut self.different,
            Verdict::Missing => &mut self.missing,
        } += 1;
    }
}

/// What tensors are instead, the most frequent first.
pub(super) fn instead_counts(tensors: &[TensorVerdict]) -> Vec<InsteadCount> {
    let mut counts: Vec<InsteadCount> = Vec::new();
    let mut add = |what: &'static str, adapter: Option<&String>| match counts
        .iter_mut()
        .find(|count| count.what == what && count.adapter.as_ref() == adapter)
    {
        Some(count) => count.tensors += 1,
        None => counts.push(InsteadCount { what, adapter: adapter.cloned(), tensors: 1 }),
    };
    for TensorVerdict { verdict, merged, instead, .. } in tensors {
        match (verdict, instead.as_slice()) {
            (Verdict::Different, []) => add("unexplained", None),
            (Verdict::Different, [Instead { what: "not-the-base", .. }]) if !merged => add("other-base", None),
            (Verdict::Different, all) => all.iter().for_each(|one| add(one.what, one.adapter.as_ref())),
            (Verdict::Missing, _) => add("missing", None),
            _ => {}
        }
    }
    sort_by(&mut counts, |one, other| other.tensors.cmp(&one.tensors));
    counts
}
