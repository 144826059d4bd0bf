//! What is asked of `combine` and of `extract`, as it comes from JavaScript, the command line or Rust.

use super::keep::Keep;
use super::rule::{Method, Pruning};
use crate::combine::Election;
use crate::error::{Error, Result};
use crate::json::from_json;
use crate::plan::none_of;
use crate::plan::rules::election_named;
use crate::tensor::Float;

/// What is asked of adapters that become one.
#[derive(Debug, Clone, Default)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "CombineSettings", rename_all = "camelCase", optional_fields))]
#[non_exhaustive]
pub struct CombineOptions {
    /// How the adapters become one, as PEFT's `add_weighted_adapter` calls it: `svd` (default) keeps the largest singular values of the exact
    /// weighted sum, `cat` has the factors one beside the other and is exact. `linear`, `ties`, `dare_linear`, `dare_ties` and
    /// `magnitude_prune` work on the matrices A and B by themselves, those that end in `_svd` on the deltas.
    #[cfg_attr(
        test,
        ts(
            optional,
            type = r#""svd" | "cat" | "linear" | "ties" | "ties_svd" | "dare_linear" | "dare_ties" | "dare_linear_svd" | "dare_ties_svd" | "magnitude_prune" | "magnitude_prune_svd""#
        )
    )]
    pub method: Option<String>,
    /// Singular values that are kept at most; by default as many as the largest rank of the adapters. For `svd` and the methods that end in it.
    pub rank: Option<u64>,
    /// The fewest singular values are kept that have this share of the sum of squares of all of them.
    pub energy: Option<f64>,
    /// The share of values that `ties`, `dare_…` and `magnitude_prune` keep of each tensor: from 0 to 1.
    pub density: Option<f64>,
    /// How `ties` elects the sign of a value: `total` (default), that of the sum, or `frequency`, that of the majority.
    #[cfg_attr(test, ts(optional, type = r#""total" | "frequency""#))]
    pub majority_sign: Option<String>,
    /// Decides the random numbers of `dare_…`, and where the search for singular values begins; 0 by default.
    pub seed: Option<u64>,
    /// The type of the factors: `float32` (default; `float64` where an adapter has that), `float16`, `bfloat16`.
    #[cfg_attr(test, ts(optional, type = r#""float32" | "float64" | "float16" | "bfloat16""#))]
    pub dtype: Option<String>,
}

from_json!(CombineOptions { method, rank, energy, density, majority_sign: "majoritySign", seed, dtype });

/// What is asked of a fine-tuned model that becomes an adapter.
#[derive(Debug, Clone, Default)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "ExtractSettings", rename_all = "camelCase", optional_fields))]
#[non_exhaustive]
pub struct ExtractOptions {
    /// Singular values that are kept of each weight at most; 16 by default, and all it takes where an energy is given.
    pub rank: Option<u64>,
    /// The fewest singular values are kept that have this share of the sum of squares of all of them.
    pub energy: Option<f64>,
    /// What becomes of what LoRA has no factors for (norms, biases, embeddings) where it differs: `save` (default) brings it along as a whole,
    /// `refuse` is an error, `drop` leaves it out.
    #[cfg_attr(test, ts(optional, type = r#""save" | "refuse" | "drop""#))]
    pub others: Option<String>,
    /// Take only weights in whose name this regular expression matches somewhere.
    pub only: Option<String>,
    /// Leave out tensors in whose name this regular expression matches somewhere.
    pub skip: Option<String>,
    /// Decides where the search for singular values begins; 0 by default.
    pub seed: Option<u64>,
    /// The type of the factors: `float32` (default), `float16`, `bfloat16`, `float64`.
    #[cfg_attr(test, ts(optional, type = r#""float32" | "float64" | "float16" | "bfloat16""#))]
    pub dtype: Option<String>,
}

from_json!(ExtractOptions { rank, energy, others, only, skip, seed, dtype });

/// The options of `combine`, checked.
#[derive(Debug, Clone)]
pub(crate) struct Combining {
    pub(crate) method: Method,
    pub(crate) keep: Keep,
    pub(crate) density: f64,
    pub(crate) sign: Election,
    pub(crate) seed: u64,
    pub(crate) dtype: Option<Float>,
}

impl CombineOptions {
    /// # Errors
    /// `bad-option` for a value that there is not, or one that the method does not read.
    pub(crate) fn check(&self) -> Result<Combining> {
        let name = self.method.as_deref().unwrap_or("svd");
        let method = Method::named(name)?;
        let unread = |option: &str, fix: &str| {
            Err(Error::bad_option(option, format!("it has no effect with {name}")).expected("nothing").fix(fix))
        };
        if !matches!(method, Method::Deltas(_)) {
            let options = [self.rank.map(|_| "rank"), self.energy.map(|_| "energy")];
            if let Some(option) = options.into_iter().flatten().next() {
                return unread(option, "leave it out, or use svd or a method that ends in _svd");
            }
        }
        let rule = method.rule();
        let prunes = rule.map_or(Pruning::Nothing, |rule| rule.pruning);
        let density = match (self.density, prunes) {
            (None, Pruning::Nothing) => 1.0,
            (Some(_), Pruning::Nothing) => return unread("density", "leave it out"),
            (None, _) => {
                let error = Error::bad_option("density", format!("{name} needs the share of values that it keeps"));
                return Err(error.expected("a number from 0 to 1").fix("give a density, such as 0.5"));
            }
            // DARE divides by it. Also where it is NaN.
            (Some(density), prunes) => {
                let positive = density > 0.0 || prunes == Pruning::Magnitude && density == 0.0;
                if !(positive && density <= 1.0) {
                    let error = Error::bad_option("density", "it is not a share of the values");
                    return Err(error.expected("a number from 0 to 1; above 0 for dare_…"));
                }
                density
            }
        };
        let sign = match (self.majority_sign.as_deref(), rule.is_some_and(|rule| rule.elects)) {
            (Some(_), false) => return unread("majoritySign", "leave it out"),
            (named, _) => named.map_or(Ok(Election::Total), election_named)?,
        };
        Ok(Combining {
            method,
            keep: Keep::of(self.rank, self.energy)?,
            density,
            sign,
            seed: self.seed.unwrap_or(0),
            dtype: self.dtype.as_deref().map(float_named).transpose()?,
        })
    }
}

/// A type of factors by its name.
///
/// # Errors
/// `bad-option` for another one.
pub(crate) fn float_named(name: &str) -> Result<Float> {
    match name {
        "float16" | "f16" => Ok(Float::F16),
        "bfloat16" | "bf16" => Ok(Float::Bf16),
        "float32" | "f32" => Ok(Float::F32),
        "float64" | "f64" => Ok(Float::F64),
        other => Err(none_of("dtype", other, "float32, float64, float16, bfloat16")),
    }
}
