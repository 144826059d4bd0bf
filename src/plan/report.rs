//! The report: what was decided for every tensor, and, where it was asked for, what the merge did to its numbers.

use serde_json::Value;

use super::build::MergePlan;
use super::output::OutputFile;
use super::program::Update;
use super::tensors::TensorView;
use crate::findings::Finding;
use crate::json::{object, text};
use crate::kernel::Statistics;
use crate::op::Scale;

impl MergePlan {
    /// The report as JSON. `statistics` holds (tensor number, statistics) of the merged tensors, or nothing.
    pub fn report(&self, statistics: &[(usize, Statistics)]) -> Value {
        let mut by_tensor: Vec<Option<&Statistics>> = vec![None; self.tensors.len()];
        for (number, statistics) in statistics {
            if let Some(place) = by_tensor.get_mut(*number) {
                *place = Some(statistics);
            }
        }
        let tensors: Vec<Value> = by_tensor
            .into_iter()
            .enumerate()
            .map(|(number, statistics)| tensor_report(&self.tensor(number), statistics))
            .collect();
        let merged = self.tensors.programs().len();
        let file = |file: &OutputFile| object([("name", file.name.as_str().into()), ("size", file.size.into())]);
        let base = [("name", self.base.name.as_str().into()), ("tensors", self.tensors.len().into())];
        object([
            ("lorafold", env!("CARGO_PKG_VERSION").into()),
            ("base", object(base)),
            ("adapters", self.adapters.iter().map(|adapter| self.adapter_report(adapter)).collect()),
            ("merged", merged.into()),
            ("files", self.files.iter().map(file).collect()),
            ("outputBytes", self.output_bytes().into()),
            ("tensors", tensors.into()),
            ("findings", self.findings.iter().map(Finding::to_json).collect()),
            ("recipe", self.recipe.clone()),
        ])
    }

    fn adapter_report(&self, adapter: &super::open::Adapter) -> Value {
        let updates = self.tensors.programs().iter().flat_map(|program| &program.updates);
        let updates: Vec<&Update> = updates.filter(|update| adapter.made(update)).collect();
        // Rank and alpha decide the scale.
        let mut scales: Vec<(Scale, u64)> = Vec::new();
        for scale in updates.iter().map(|update| update.op.scale()) {
            match scales.iter_mut().find(|(other, _)| other.rank == scale.rank && other.alpha == scale.alpha) {
                Some((_, tensors)) => *tensors += 1,
                None => scales.push((scale, 1)),
            }
        }
        let (rule, root) = if adapter.summary.rslora { ("alpha/sqrt(r)", "√") } else { ("alpha/r", "") };
        let scale = |(scale, tensors): (Scale, u64)| {
            let alpha = text(&scale.alpha.into());
            let why = format!("{rule} = {}/{root}{}", alpha.strip_suffix(".0").unwrap_or(&alpha), scale.rank);
            object([
                ("rank", scale.rank.into()),
                ("alpha", scale.alpha.into()),
                ("scale", scale.scale.into()),
                ("why", why.into()),
                ("tensors", tensors.into()),
            ])
        };
        object([
            ("name", adapter.name.as_str().into()),
            ("weight", adapter.weight.into()),
            ("type", "LORA".into()),
            ("rslora", adapter.summary.rslora.into()),
            ("baseModel", adapter.summary.base_name.as_deref().into()),
            ("modules", adapter.updates.len().into()),
            ("matched", updates.len().into()),
            ("scales", scales.into_iter().map(scale).collect()),
        ])
    }
}

fn tensor_report(tensor: &TensorView, statistics: Option<&Statistics>) -> Value {
    let action = match (tensor.updates, tensor.is_computed()) {
        (_, false) => "copy",
        ([], true) => "convert",
        (_, true) => "merge",
    };
    let mut report = object([
        ("name", tensor.name.into()),
        ("action", action.into()),
        ("shape", tensor.shape.into()),
        ("dtype", tensor.from.to_string().into()),
        ("outputDtype", tensor.to.to_string().into()),
    ]);
    if let ([first, ..], Value::Object(report)) = (tensor.updates, &mut report) {
        report.insert("transposed".into(), first.op.transposed().into());
        report.insert("adapters".into(), tensor.updates.iter().map(update_report).collect());
        if let Some(statistics) = statistics {
            report.insert("statistics".into(), statistics_report(statistics));
        }
    }
    report
}

fn update_report(update: &Update) -> Value {
    let Scale { rank, alpha, scale } = update.op.scale();
    object([
        ("adapter", update.adapter.as_str().into()),
        ("method", update.op.name().into()),
        ("rank", rank.into()),
        ("alpha", alpha.into()),
        ("scale", scale.into()),
        ("weight", update.weight.into()),
    ])
}

/// ‖ΔW‖/‖W‖, the largest |ΔW|, the share of elements whose stored bits changed, and the share of ‖ΔW‖² that survives
/// rounding, ⟨stored change, ΔW⟩ / ‖ΔW‖². Rounded to six digits: sums over blocks of other sizes differ beyond.
fn statistics_report(statistics: &Statistics) -> Value {
    let share = |part: f64, whole: f64| if whole > 0.0 { Some(six(part / whole)) } else { None };
    object([
        ("deltaNorm", six(statistics.delta_sq.sqrt()).into()),
        ("baseNorm", six(statistics.base_sq.sqrt()).into()),
        ("relativeNorm", share(statistics.delta_sq.sqrt(), statistics.base_sq.sqrt()).into()),
        ("maxDelta", six(f64::from(statistics.max_delta)).into()),
        ("changed", share(statistics.changed as f64, statistics.elements as f64).into()),
        ("signalKept", share(statistics.kept, statistics.delta_sq).into()),
    ])
}

/// `value` to six digits. Powers of ten up to 10²² are exact, so the last division gives the number nearest to those digits;
/// what would take a larger power is left as it is.
fn six(value: f64) -> f64 {
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
