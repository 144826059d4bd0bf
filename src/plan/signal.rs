//! What of the deltas rounding keeps: exactly where every element was looked at, else an estimate from a sample with its bound.
//!
//! The share that is kept is ⟨out − W, Δ⟩/‖Δ‖², the factor by which Δ is in the output when what is there beside it is at right angles to it. So a
//! share of 0.9 is what a weight of 0.9 in place of 1 would give, but for noise.

use std::collections::BTreeMap;

use serde::Serialize;

use super::build::MergePlan;
use super::measured::Measured;
use super::report::six;
use crate::findings::Finding;
use crate::kernel::{Spread, Statistics};
use crate::tensor::{Dtype, Rounding};

/// Less than this kept is told: weights of adapters are set in steps of a tenth, so this is a difference that people make on purpose.
const ENOUGH: f64 = 0.9;

/// What of a delta rounding keeps. Rounded to six digits; `null` where it is not known: nothing was added, or a result is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct Signal {
    /// ⟨stored change, ΔW⟩/‖ΔW‖²: 1 where all of it is kept.
    pub kept: Option<f64>,
    /// The true share is within this of `kept`, in 95 of 100 cases; 0 where every element was looked at.
    pub margin: Option<f64>,
    /// Share of the elements that were looked at.
    pub sampled: Option<f64>,
}

/// What of all deltas rounding keeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TotalSignal {
    /// The share over all merged tensors, each with its part of ‖ΔW‖².
    pub kept: Option<f64>,
    /// As that of a [`Signal`].
    pub margin: Option<f64>,
    /// Share of the elements of merged tensors that were looked at.
    pub sampled: Option<f64>,
    /// The tensor whose delta keeps least.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub least: Option<String>,
    /// The share that is kept there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub least_kept: Option<f64>,
}

/// Sums over tensors, each as if all of its elements had been looked at.
#[derive(Default)]
struct Sums {
    elements: f64,
    seen: f64,
    kept: f64,
    delta: f64,
    /// Of x − share·y for the runs' x and y, the sums of the squares of x, of x·y and of y².
    squares: [f64; 3],
    /// Runs beyond the first of each tensor.
    freedom: u64,
    unknown: bool,
}

impl Sums {
    fn add(&mut self, statistics: &Statistics, elements: u64) {
        let (seen, elements) = (statistics.elements as f64, elements as f64);
        self.seen += seen;
        self.elements += elements;
        if seen == 0.0 {
            return;
        }
        let times = elements / seen;
        self.kept += times * statistics.kept;
        self.delta += times * statistics.delta_sq;
        // Of all elements nothing is left to chance.
        let Some(spread) = statistics.spread.filter(|_| times > 1.0) else { return };
        let Spread { runs, kept_kept, kept_delta, delta_delta } = spread;
        if runs < 2 {
            self.unknown |= kept_kept + delta_delta > 0.0;
            return;
        }
        let runs_m = runs as f64;
        let variance = times * times * (1.0 - 1.0 / times) * runs_m / (runs_m - 1.0);
        for (sum, square) in self.squares.iter_mut().zip([kept_kept, kept_delta, delta_delta]) {
            *sum += variance * square;
        }
        self.freedom += runs - 1;
    }

    /// A ratio of sums over a stratified sample of runs, and its error by linearisation (Cochran, "Sampling Techniques", 1977, chapter 6).
    fn signal(&self) -> Signal {
        let known = |value: f64| Some(six(value)).filter(|value| value.is_finite());
        let kept = self.kept / self.delta;
        let [xx, xy, yy] = self.squares;
        let error = (xx - 2.0 * kept * xy + kept * kept * yy).max(0.0).sqrt() / self.delta;
        let margin = match self.freedom {
            _ if self.unknown => None,
            0 => kept.is_finite().then_some(0.0),
            freedom => known(quantile(freedom) * error),
        };
        Signal { kept: known(kept), margin, sampled: known(self.seen / self.elements) }
    }
}

/// What 95 of 100 values of Student's t are within, by its expansion (Abramowitz and Stegun 26.7.5), to a hundredth from three degrees of freedom on.
fn quantile(freedom: u64) -> f64 {
    let n = freedom as f64;
    1.959_964 + 2.372_3 / n + 2.822_5 / (n * n) + 2.555_8 / (n * n * n)
}

impl Signal {
    /// Of one tensor of so many elements.
    pub(super) fn of(statistics: &Statistics, elements: u64) -> Signal {
        let mut sums = Sums::default();
        sums.add(statistics, elements);
        sums.signal()
    }
}

impl MergePlan {
    /// What of all deltas rounding kept, where something is known of it.
    pub fn signal(&self, statistics: &BTreeMap<usize, Measured>) -> Option<TotalSignal> {
        let mut sums = Sums::default();
        let mut least: Option<(f64, usize)> = None;
        for (&number, Measured { statistics, .. }) in statistics.range(..self.tensor_count()) {
            let tensor = self.tensor(number);
            if tensor.updates.is_empty() {
                continue;
            }
            sums.add(statistics, tensor.elements());
            let kept = statistics.kept / statistics.delta_sq;
            if least.is_none_or(|(other, _)| kept < other) && kept.is_finite() {
                least = Some((kept, number));
            }
        }
        let Signal { kept, margin, sampled } = sums.signal();
        let (name, share) = least.map(|(share, number)| (self.tensor(number).name.to_string(), six(share))).unzip();
        (sums.elements > 0.0).then_some(TotalSignal { kept, margin, sampled, least: name, least_kept: share })
    }

    /// The finding where much is lost, beyond what chance can make of a sample.
    pub(super) fn signal_lost(&self, signal: &TotalSignal) -> Option<Finding> {
        let kept = signal.kept?;
        if kept + signal.margin? >= ENOUGH {
            return None;
        }
        let mut types: Vec<Dtype> = Vec::new();
        let mut stochastic = false;
        for program in self.tensors.programs() {
            let to = program.to.dtype();
            stochastic |= program.rounding != Rounding::Nearest;
            if !types.contains(&to) {
                types.push(to);
            }
        }
        let types: Vec<String> = types.iter().map(Dtype::to_string).collect();
        let mut message = format!("rounding to {} keeps {} of the deltas", types.join(" and "), percent(kept));
        if let Some(margin) = signal.margin.filter(|margin| *margin > 0.0) {
            message += &format!(" (± {})", percent(margin));
        }
        if let (Some(name), Some(share)) = (&signal.least, signal.least_kept) {
            message += &format!(", least of that of {name}, {}", percent(share));
        }
        message += "; the type's steps are wider than much of what is added: dtype float32 keeps all";
        if !stochastic {
            message += ", rounding stochastic keeps it on average";
        }
        Some(Finding { tensor: signal.least.clone(), ..Finding::warning("signal-lost", None, message) })
    }
}

/// A share in per cent, to a tenth. `Display` of f64 would be 7 kB of the module.
fn percent(share: f64) -> String {
    let tenths = (share.abs() * 1000.0).round() as u64;
    let sign = if share < 0.0 && tenths > 0 { "-" } else { "" };
    format!("{sign}{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_quantiles_are_student_s() {
        let table =
            [(3, 3.182), (4, 2.776), (5, 2.571), (10, 2.228), (20, 2.086), (30, 2.042), (120, 1.980), (1 << 40, 1.960)];
        for (freedom, expected) in table {
            let error = quantile(freedom) / expected - 1.0;
            assert!(error.abs() < 0.01, "{freedom}: {error}");
        }
    }

    #[test]
    fn runs_that_are_alike_leave_no_doubt() {
        let run = |kept, delta_sq| Statistics { elements: 10, kept, delta_sq, ..Statistics::default() };
        let of = |runs: &[(f64, f64)], elements: u64| {
            let mut sample = Statistics::sampled();
            runs.iter().for_each(|&(kept, delta)| sample.add_run(&run(kept, delta)));
            Signal::of(&sample, elements)
        };
        let alike = of(&[(1.0, 2.0), (3.0, 6.0), (2.0, 4.0)], 3000);
        assert_eq!((alike.kept, alike.margin, alike.sampled), (Some(0.5), Some(0.0), Some(0.01)));
        // Residuals 0.4, -0.4: their variance is 2/1 · 0.32 · 0.98 of the whole sample's 4².
        let unlike = of(&[(1.4, 2.0), (0.6, 2.0)], 1000);
        let error = (2.0f64 * 0.32 * 0.98).sqrt() / 4.0;
        let margin = six(quantile(1) * error);
        assert_eq!((unlike.kept, unlike.margin), (Some(0.5), Some(margin)));
        // Of all elements nothing is left to chance, and of one run nobody knows.
        assert_eq!(of(&[(1.4, 2.0), (0.6, 2.0)], 20).margin, Some(0.0));
        assert_eq!(of(&[(1.0, 2.0)], 20).margin, None);
        assert_eq!(of(&[(0.0, 0.0)], 20).kept, None);
    }

    #[test]
    fn shares_are_said_to_a_tenth() {
        let said = [0.0, 0.5, 0.0412, 0.999_96, -0.031, -0.000_01, 1.234].map(percent);
        assert_eq!(said, ["0.0 %", "50.0 %", "4.1 %", "100.0 %", "-3.1 %", "0.0 %", "123.4 %"]);
    }
}
