//! The report: what was decided for every tensor, and, where it was asked for, what the merge did to its numbers.

use serde_json::{Value, json};

use super::build::MergePlan;
use super::tensor::{PlannedTensor, Term};
use crate::kernel::Tally;

impl MergePlan {
    /// The report as JSON. `tallies` holds (tensor number, statistics) of the merged tensors, or nothing.
    pub fn report(&self, tallies: &[(usize, Tally)]) -> Value {
        let tensors: Vec<Value> = self
            .tensors
            .iter()
            .enumerate()
            .map(|(number, tensor)| {
                let tally = tallies.iter().find(|(n, _)| *n == number).map(|(_, tally)| tally);
                tensor_report(tensor, tally)
            })
            .collect();
        let merged = self.tensors.iter().filter(|tensor| adds_deltas(tensor)).count();
        let files: Vec<Value> = self.files.iter().map(|file| json!({ "name": file.name, "size": file.size })).collect();
        json!({
            "lorafold": env!("CARGO_PKG_VERSION"),
            "base": { "name": self.base.name, "tensors": self.tensors.len() },
            "adapters": self.adapters.iter().map(|adapter| self.adapter_report(adapter)).collect::<Vec<_>>(),
            "merged": merged,
            "files": files,
            "outputBytes": self.output_bytes(),
            "tensors": tensors,
            "findings": self.findings,
            "recipe": self.recipe,
        })
    }

    fn adapter_report(&self, adapter: &super::open::Adapter) -> Value {
        let terms: Vec<&Term> = self
            .tensors
            .iter()
            .filter_map(|tensor| tensor.merge.as_ref())
            .flat_map(|merge| &merge.terms)
            .filter(|term| term.a.input == adapter.input)
            .collect();
        let mut scales: Vec<Value> = Vec::new();
        for term in &terms {
            let (rule, root) = if adapter.config.rslora { ("alpha/sqrt(r)", "√") } else { ("alpha/r", "") };
            let why = format!("{rule} = {}/{root}{}", term.alpha, term.rank);
            let scale = json!({ "rank": term.rank, "alpha": term.alpha, "scale": term.scale, "why": why });
            match scales.iter_mut().find(|row| row["why"] == scale["why"]) {
                Some(row) => row["tensors"] = json!(row["tensors"].as_u64().unwrap_or(0) + 1),
                None => {
                    let mut row = scale;
                    row["tensors"] = json!(1);
                    scales.push(row);
                }
            }
        }
        json!({
            "name": adapter.name,
            "weight": adapter.weight,
            "type": "LORA",
            "rslora": adapter.config.rslora,
            "baseModel": adapter.config.base_name,
            "modules": adapter.pairs.len(),
            "matched": terms.len(),
            "scales": scales,
        })
    }
}

fn adds_deltas(tensor: &PlannedTensor) -> bool {
    tensor.merge.as_ref().is_some_and(|merge| !merge.terms.is_empty())
}

fn tensor_report(tensor: &PlannedTensor, tally: Option<&Tally>) -> Value {
    let action = match &tensor.merge {
        None => "copy",
        Some(merge) if merge.terms.is_empty() => "convert",
        Some(_) => "merge",
    };
    let mut report = json!({
        "name": tensor.name,
        "action": action,
        "shape": tensor.shape,
        "dtype": tensor.from.name(),
        "outputDtype": tensor.to.name(),
    });
    if let Some(merge) = tensor.merge.as_ref().filter(|merge| !merge.terms.is_empty()) {
        report["transposed"] = json!(merge.transposed);
        let adapters = merge.terms.iter().map(|term| {
            json!({ "adapter": term.adapter, "rank": term.rank, "alpha": term.alpha, "scale": term.scale, "weight": term.weight })
        });
        report["adapters"] = Value::Array(adapters.collect());
        if let Some(tally) = tally {
            report["statistics"] = statistics(tally);
        }
    }
    report
}

/// ‖ΔW‖/‖W‖, the largest |ΔW|, the share of elements whose stored bits changed, and the share of ‖ΔW‖² that survives
/// rounding, ⟨stored change, ΔW⟩ / ‖ΔW‖². Rounded to six digits: sums over blocks of other sizes differ beyond.
fn statistics(tally: &Tally) -> Value {
    let share = |part: f64, whole: f64| if whole > 0.0 { Some(six(part / whole)) } else { None };
    json!({
        "deltaNorm": six(tally.delta_sq.sqrt()),
        "baseNorm": six(tally.base_sq.sqrt()),
        "relativeNorm": share(tally.delta_sq.sqrt(), tally.base_sq.sqrt()),
        "maxDelta": six(f64::from(tally.max_delta)),
        "changed": share(tally.changed as f64, tally.elements as f64),
        "signalKept": share(tally.kept, tally.delta_sq),
    })
}

fn six(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}
