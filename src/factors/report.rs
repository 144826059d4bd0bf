//! What is told of an adapter that was made.

use serde::Serialize;

use super::plan::Outcome;
use crate::findings::Finding;

/// What `combine` or `extract` made.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "FactorsReport", rename_all = "camelCase", optional_fields))]
#[non_exhaustive]
pub struct FactorsReport {
    /// How: a method of `combine`, or `extract`.
    pub method: String,
    /// The type of the factors.
    pub dtype: String,
    /// The rank that modules have where nothing else is said of them.
    pub rank: u64,
    /// The modules with factors, in the order of their paths.
    pub modules: Vec<ModuleReport>,
    /// What is brought along as a whole, or was left out.
    pub others: Vec<OtherReport>,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// The factors of a module.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "FactorsModule", rename_all = "camelCase", optional_fields))]
#[non_exhaustive]
pub struct ModuleReport {
    /// Its path.
    pub module: String,
    /// Rank of the factors.
    pub rank: u64,
    /// The Frobenius norm of the delta that they are made from.
    pub norm: f64,
    /// The share of that delta's sum of squares which the factors keep: 1 where they are exact.
    pub energy: f64,
    /// How far the result is from the exact weighted sum of the adapters: the Frobenius norm of the difference over that of the sum. What
    /// methods on the matrices A and B add by cross terms (A of one adapter times B of another) shows here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
}

impl ModuleReport {
    /// That of a module whose factors are made.
    pub(super) fn of(module: String, outcome: &Outcome) -> ModuleReport {
        let Outcome { rank, norm, energy, deviation } = *outcome;
        ModuleReport { module, rank, norm: norm.unwrap_or(0.0), energy, deviation }
    }
}

/// A tensor that LoRA has no factors for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "FactorsOther", rename_all = "camelCase", optional_fields))]
#[non_exhaustive]
pub struct OtherReport {
    /// Its name.
    pub tensor: String,
    /// The Frobenius norm of its delta, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<f64>,
    /// Whether the adapter brings it along as a whole.
    pub saved: bool,
}
