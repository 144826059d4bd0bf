//! The options of a merge, as they come from JavaScript, the command line or Rust.

use crate::adapter::pattern::{Pattern, PatternBudget};
use crate::error::{Error, Result};
use crate::tensor::Float;

/// Options of [`plan`](super::plan()).
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PlanOptions {
    /// "keep" (default), "float32"/"f32", "float16"/"f16" or "bfloat16"/"bf16".
    pub dtype: Option<String>,
    /// How deltas combine; only "linear" so far.
    pub method: Option<String>,
    /// How sums are rounded; only "nearest" so far.
    pub rounding: Option<String>,
    /// Merge only tensors whose name this pattern finds something in.
    pub only: Option<String>,
    /// Do not merge tensors whose name this pattern finds something in.
    pub skip: Option<String>,
    /// Largest size of an output shard in bytes; `None` keeps the base's shards.
    pub max_shard_size: Option<u64>,
    /// Adapter keys that match nothing become findings.
    pub allow_unmatched: bool,
}

/// What is asked of one adapter.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AdapterOptions {
    /// Factor on the whole delta; 1 when not given.
    pub weight: Option<f64>,
    /// Replaces `lora_alpha`, patterns included.
    pub alpha: Option<f64>,
}

/// The element type of merged and other floating-point tensors in the output.
pub type OutputDtype = Option<Float>;

/// The options, checked.
#[derive(Debug, Clone)]
pub(crate) struct CheckedOptions {
    pub(crate) dtype: OutputDtype,
    /// With their text.
    only: Option<(Pattern, String)>,
    skip: Option<(Pattern, String)>,
    pub(crate) max_shard_bytes: Option<u64>,
    pub(crate) allow_unmatched: bool,
}

impl PlanOptions {
    pub(crate) fn check(&self) -> Result<CheckedOptions> {
        let bad = |option: &str, reason: String| Error::bad_option(option, reason);
        let dtype = match self.dtype.as_deref() {
            None | Some("keep") => None,
            Some("float32" | "f32") => Some(Float::F32),
            Some("float16" | "f16") => Some(Float::F16),
            Some("bfloat16" | "bf16") => Some(Float::Bf16),
            Some(other) => return Err(bad("dtype", format!("{other:?} is none of keep, float32, float16, bfloat16"))),
        };
        not_yet("method", self.method.as_deref(), "linear", &["ties", "dare_linear", "dare_ties", "magnitude_prune"])?;
        not_yet("rounding", self.rounding.as_deref(), "nearest", &["stochastic"])?;
        if self.max_shard_size == Some(0) {
            return Err(bad("maxShardSize", "a shard of 0 bytes holds nothing".into()));
        }
        let pattern = |option: &str, text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            Pattern::anywhere(text).map(|pattern| Some((pattern, text.clone()))).map_err(|reason| bad(option, reason))
        };
        Ok(CheckedOptions {
            dtype,
            only: pattern("only", &self.only)?,
            skip: pattern("skip", &self.skip)?,
            max_shard_bytes: self.max_shard_size,
            allow_unmatched: self.allow_unmatched,
        })
    }
}

impl CheckedOptions {
    /// Whether the tensor called `name` may be merged.
    pub(crate) fn selects(&self, name: &str, budget: &mut PatternBudget) -> Result<bool> {
        let mut found = |pattern: &Option<(Pattern, String)>, option: &str| {
            let Some((pattern, text)) = pattern else { return Ok(None) };
            pattern.matches(name, budget).map(Some).map_err(|error| error.of_pattern(option, text))
        };
        Ok(found(&self.only, "only")?.unwrap_or(true) && !found(&self.skip, "skip")?.unwrap_or(false))
    }

    /// Whether every tensor is selected.
    pub(crate) fn selects_all(&self) -> bool {
        self.only.is_none() && self.skip.is_none()
    }

    /// Which of the two selecting options is given, for an error that says it matched nothing.
    pub(crate) fn selecting_option(&self) -> &'static str {
        if self.only.is_some() { "only" } else { "skip" }
    }
}

/// `value` must be `default`; a planned value is `unsupported`, any other a `bad-option`.
fn not_yet(option: &str, value: Option<&str>, default: &str, planned: &[&str]) -> Result<()> {
    match value {
        None => Ok(()),
        Some(value) if value == default => Ok(()),
        Some(value) if planned.contains(&value) => Err(Error::unsupported(
            format!("option {option}"),
            format!("{value:?} is not implemented yet, only {default:?}"),
        )),
        Some(value) => Err(Error::bad_option(option, format!("{value:?} is not a {option}"))),
    }
}
