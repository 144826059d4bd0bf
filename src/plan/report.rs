//! The report: what was decided for every tensor, and, where it was asked for, what the merge did to its numbers.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use super::adapter::Adapter;
use super::base_names::NamedBase;
use super::build::MergePlan;
use super::delta_report::{self, DeltaReport};
use super::evidence::Evidence;
use super::measured::Measured;
use super::output::OutputFile;
use super::program::Update;
use super::recipe::Recipe;
use super::scales::{AdapterScales, Scales};
use super::signal::{Signal, TotalSignal};
use super::tensors::TensorView;
use crate::findings::Finding;
use crate::json;
use crate::kernel::Statistics;
use crate::op::Scale;
use crate::wire::wire;

/// What was decided, and, after a merge, what it did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// Version of lorafold.
    pub lorafold: String,
    /// The base.
    pub base: BaseReport,
    /// The adapters, in the order in which they were given.
    pub adapters: Vec<AdapterReport>,
    /// Number of tensors that adapters change.
    pub merged: usize,
    /// The output files.
    pub files: Vec<FileSize>,
    /// Bytes of all output files.
    pub output_bytes: u64,
    /// Every tensor of the output.
    pub tensors: Vec<TensorReport>,
    /// What of the deltas rounding kept, after a merge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<TotalSignal>,
    /// What the user should know.
    pub findings: Vec<Finding>,
    /// What speaks for or against the base, where that was asked for.
    pub evidence: Vec<Evidence>,
    /// What the merged files record of their making.
    pub recipe: Recipe,
}

/// The base in a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct BaseReport {
    /// Name of its folder.
    pub name: String,
    /// Number of tensors of the output: the base's, and an output layer that was tied and gets a tensor of its own.
    pub tensors: usize,
}

/// A file and its size.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct FileSize {
    /// Name inside its folder.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
}

wire!(FileSize { name, size });

/// One adapter in a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AdapterReport {
    /// What errors and reports call it.
    pub name: String,
    /// Factor on its whole delta.
    pub weight: f64,
    /// The `peft_type` of its configuration.
    pub r#type: String,
    /// Whether its scale is α/√r instead of α/r.
    pub rslora: bool,
    /// The base that its configuration names.
    pub base_model: Option<String>,
    /// Whether the base is that one, by its names.
    #[cfg_attr(test, ts(inline))]
    pub named_base: NamedBase,
    /// Number of modules that it has tensors for.
    pub modules: usize,
    /// Number of its modules that are merged.
    pub matched: usize,
    /// The tensors that it would change, and does not: `only`, `skip` or a factor of 0 leaves them out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub left_out: Vec<String>,
    /// Each scale that it has.
    pub scales: Vec<ScaleReport>,
}

/// A scale of an adapter, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct ScaleReport {
    /// Rank r.
    pub rank: u64,
    /// Alpha after patterns and override.
    pub alpha: f64,
    /// α/r or α/√r.
    pub scale: f64,
    /// The rule with its numbers, such as `alpha/r = 16/8`.
    pub why: String,
    /// Number of updates that have it.
    pub tensors: u64,
}

/// One tensor in a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TensorReport {
    /// Name.
    pub name: String,
    /// What is done to it.
    #[cfg_attr(test, ts(inline))]
    pub action: Action,
    /// Shape as stored.
    pub shape: Vec<u64>,
    /// Element type of what is read, by its safetensors name: of the base's tensor, or of the weight that an adapter brings in its place.
    pub dtype: String,
    /// Element type in the output.
    pub output_dtype: String,
    /// Whether the base stores (in, out), as GPT-2's Conv1D does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transposed: Option<bool>,
    /// What each adapter adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Vec<UpdateReport>>,
    /// What the method did to the values of each adapter's delta, where it prunes or elects signs, and statistics were asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "delta_report::serialize")]
    pub deltas: Option<Vec<DeltaReport>>,
    /// What of its delta rounding kept, after a merge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// What the merge did to its numbers, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<TensorStatistics>,
}

/// What is done to a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Action {
    /// Its bytes stay as they are.
    Copy,
    /// It gets another element type.
    Convert,
    /// Deltas are added to it.
    Merge,
    /// An adapter's tensor stands in its place.
    Replace,
}

/// What one adapter does to a tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct UpdateReport {
    /// The adapter's name.
    pub adapter: String,
    /// The method.
    pub method: &'static str,
    /// Rank r, where the method has a scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
    /// Alpha after patterns and override, where the method has a scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// α/r or α/√r, where the method has a scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Factor on the adapter's whole delta.
    pub weight: f64,
}

/// What a merge did to the numbers of one tensor. W is the base, ΔW the delta; ‖·‖ is the Frobenius norm. Rounded to six digits. A value
/// is `null` where it is not known: a quotient by zero, a sum that overflowed, a result that is not finite.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TensorStatistics {
    /// ‖ΔW‖
    pub delta_norm: Option<f64>,
    /// ‖W‖
    pub base_norm: Option<f64>,
    /// ‖ΔW‖/‖W‖
    pub relative_norm: Option<f64>,
    /// The largest |ΔW|.
    pub max_delta: Option<f64>,
    /// Share of elements whose stored bits changed.
    pub changed: Option<f64>,
    /// Share of ‖ΔW‖² that survives rounding: ⟨stored change, ΔW⟩/‖ΔW‖².
    pub signal_kept: Option<f64>,
}

impl MergePlan {
    /// The report. `statistics` are those of the merged tensors, by number: of all elements, or of a sample, which says what rounding keeps and no
    /// more; none before a merge.
    pub fn report(&self, statistics: &BTreeMap<usize, Measured>) -> Report {
        Report { tensors: self.tensor_reports(0..self.tensors.len(), statistics).collect(), ..self.summary(statistics) }
    }

    /// The report without its tensors: of a large model these take more memory than the plan. `statistics` as in [`report`](Self::report).
    pub fn summary(&self, statistics: &BTreeMap<usize, Measured>) -> Report {
        let signal = self.signal(statistics);
        let mut findings = self.findings.clone();
        findings.extend(signal.as_ref().and_then(|signal| self.signal_lost(signal)));
        let scales = Scales::of(&self.tensors, &self.adapters);
        let adapter_report = |adapter| self.adapter_report(adapter, scales.of_adapter(adapter));
        Report {
            lorafold: env!("CARGO_PKG_VERSION").into(),
            base: BaseReport { name: self.base.name.clone(), tensors: self.tensors.len() },
            adapters: self.adapters.iter().map(adapter_report).collect(),
            merged: self.tensors.programs().iter().filter(|program| !program.updates.is_empty()).count(),
            files: self.file_sizes(),
            output_bytes: self.output_bytes(),
            tensors: Vec::new(),
            signal,
            findings,
            evidence: self.evidence.clone(),
            recipe: self.recipe.clone(),
        }
    }

    /// What the report says of the tensors with these numbers, as far as there are such. `statistics` as in [`report`](Self::report).
    pub fn tensor_reports(
        &self,
        numbers: Range<usize>,
        statistics: &BTreeMap<usize, Measured>,
    ) -> impl Iterator<Item = TensorReport> {
        let numbers = numbers.start..numbers.end.min(self.tensors.len());
        numbers.map(|number| tensor_report(&self.tensor(number), statistics.get(&number)))
    }

    /// The output files, weight files first.
    pub fn file_sizes(&self) -> Vec<FileSize> {
        self.files.iter().map(|OutputFile { name, size, .. }| FileSize { name: name.clone(), size: *size }).collect()
    }

    fn adapter_report(&self, adapter: &Adapter, scales: AdapterScales) -> AdapterReport {
        let AdapterScales { updates, scales } = scales;
        let (rule, root) = if adapter.summary.rslora { ("alpha/sqrt(r)", "√") } else { ("alpha/r", "") };
        let scale = |(Scale { rank, alpha, scale }, tensors): (Scale, u64)| {
            let why = format!("{rule} = {}/{root}{rank}", json::number(alpha));
            ScaleReport { rank, alpha, scale, why, tensors }
        };
        AdapterReport {
            name: adapter.name.clone(),
            weight: adapter.weight,
            r#type: adapter.summary.peft_type.clone(),
            rslora: adapter.summary.rslora,
            base_model: adapter.summary.base_name.clone(),
            named_base: adapter.named_base,
            modules: adapter.modules,
            matched: updates,
            left_out: adapter.left_out.clone(),
            scales: scales.into_iter().map(scale).collect(),
        }
    }
}

fn tensor_report(tensor: &TensorView, measured: Option<&Measured>) -> TensorReport {
    let statistics = measured.map(|measured| &measured.statistics);
    let fates = measured.map_or([].as_slice(), |measured| measured.fates.as_slice());
    let first = tensor.updates.first();
    TensorReport {
        name: tensor.name.into(),
        action: match (first, tensor.is_computed()) {
            _ if tensor.is_replaced() => Action::Replace,
            (_, false) => Action::Copy,
            (None, true) => Action::Convert,
            (Some(_), true) => Action::Merge,
        },
        shape: tensor.shape.into(),
        dtype: tensor.from.to_string(),
        output_dtype: tensor.to.to_string(),
        transposed: first.map(|first| first.op.transposed),
        adapters: first.map(|_| update_reports(tensor.updates)),
        deltas: (!fates.is_empty()).then(|| delta_report::of_fates(fates, tensor.updates)),
        signal: first.and(statistics).map(|statistics| Signal::of(statistics, tensor.elements())),
        statistics: first.and(statistics).filter(|every| every.spread.is_none()).map(TensorStatistics::of),
    }
}

/// What each adapter does to a tensor: one line for all matrices of a stack.
fn update_reports(updates: &[Update]) -> Vec<UpdateReport> {
    let key = |update: &Update| update.op.operands.first().map(|operand| (operand.at.input, operand.key.clone()));
    let of_one = |one: &Update, other: &Update| one.region != other.region && key(one) == key(other);
    updates.chunk_by(of_one).filter_map(|of_one| of_one.first()).map(update_report).collect()
}

fn update_report(update: &Update) -> UpdateReport {
    let scale = update.op.scale;
    UpdateReport {
        adapter: update.adapter.clone(),
        method: update.op.method.name,
        rank: scale.map(|scale| scale.rank),
        alpha: scale.map(|scale| scale.alpha),
        scale: scale.map(|scale| scale.scale),
        weight: update.weight,
    }
}

impl TensorStatistics {
    /// Sums over blocks of other sizes differ beyond six digits.
    fn of(statistics: &Statistics) -> TensorStatistics {
        let known = |value: f64| Some(six(value)).filter(|value| value.is_finite());
        let share = |part: f64, whole: f64| if whole > 0.0 { known(part / whole) } else { None };
        TensorStatistics {
            delta_norm: known(statistics.delta_sq.sqrt()),
            base_norm: known(statistics.base_sq.sqrt()),
            relative_norm: share(statistics.delta_sq.sqrt(), statistics.base_sq.sqrt()),
            max_delta: known(f64::from(statistics.max_delta)),
            changed: share(statistics.changed as f64, statistics.elements as f64),
            signal_kept: share(statistics.kept, statistics.delta_sq),
        }
    }
}

/// `value` to six digits. Powers of ten up to 10²² are exact, so the last division gives the number nearest to those digits;
/// what would take a larger power is left as it is.
pub(crate) fn six(value: f64) -> f64 {
    let magnitude = value.abs();
    if !(1e-16..1e22).contains(&magnitude) {
        return value;
    }
    let mut times = 1.0;
    while magnitude * times < 1e5 {
        times *= 10.0;
    }
    let mut over = 1.0;
    while magnitude / over >= 1e6 {
        over *= 10.0;
    }
    (value * times / over).round_ties_even() * over / times
}

#[cfg(test)]
mod tests {
    use super::six;

    #[test]
    fn six_digits() {
        let values =
            [0.0, 1.0, 0.1, 1.0 / 3.0, 2.0 / 3.0e-7, -123_456.789, 999_999.5, 4.56789e-13, 1.23456e21, f64::MAX];
        for value in values.into_iter().chain((1..2000).map(|i| f64::from(i).powi(7) / 3e9)) {
            let expected: f64 = format!("{value:.5e}").parse().unwrap();
            assert!(six(value) == expected || value == f64::MAX, "{value:e} became {:e}", six(value));
        }
        assert!(six(f64::NAN).is_nan());
        assert_eq!(six(f64::INFINITY), f64::INFINITY);
    }
}
