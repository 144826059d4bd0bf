//! The options of a merge, as they come from JavaScript, the command line or Rust.

use serde::Serialize;

use super::module_weights::ModuleWeight;
use super::rules::Rules;
use crate::adapter::pattern::{Pattern, PatternBudget};
use crate::error::{Error, Result};
use crate::json::from_json;
use crate::op::Packing;
use crate::tensor::Float;

/// What is asked of a merge.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "PlanSettings", rename_all = "camelCase", optional_fields))]
#[non_exhaustive]
pub struct PlanOptions {
    /// Element type of the floating-point tensors of the output; `keep` (default) keeps every tensor's own.
    #[cfg_attr(test, ts(optional, type = r#""keep" | "float32" | "float16" | "bfloat16""#))]
    pub dtype: Option<String>,
    /// How the deltas of several adapters combine: `linear` (default), the exact weighted sum; `magnitude_prune` and `ties` keep the largest values
    /// of each delta, `dare_linear` and `dare_ties` random ones; `ties` and `dare_ties` add up only those whose sign is elected. The others are
    /// mergekit's; docs/combining.md describes all of them.
    #[cfg_attr(
        test,
        ts(
            optional,
            type = r#""linear" | "magnitude_prune" | "ties" | "dare_linear" | "dare_ties" | "breadcrumbs" | "breadcrumbs_ties" | "della_linear" | "della" | "sce" | "model_stock" | "slerp" | "nuslerp" | "karcher""#
        )
    )]
    pub method: Option<String>,
    /// Share of each delta that is kept, above 0 and up to 1: needed by every method that prunes, unless each adapter has its own.
    pub density: Option<f64>,
    /// How a sign is elected: `total` (default) by the sum of the deltas, `frequency` by how many are positive or negative.
    #[cfg_attr(test, ts(optional, type = r#""total" | "frequency""#))]
    pub majority_sign: Option<String>,
    /// Share of the largest values that `breadcrumbs` drops; `0.01` by default.
    pub gamma: Option<f64>,
    /// How far the probability to be kept is from the density for the smallest and the largest value of a row, in `della`; `0.15` by default.
    pub epsilon: Option<f64>,
    /// Whether the sum is divided: by how many deltas agree on the sign (`mergekit`: by the sum of their weights), or where no sign is elected by
    /// the sum of all weights. By default `ties` and `dare_ties` do (`mergekit`: `ties` alone).
    pub normalize: Option<bool>,
    /// Whose definition of the method is meant where the two differ: `peft` (default), or `mergekit`, which elects signs by weight times delta,
    /// divides by the sum of weights, and scales random values so that the sum of magnitudes stays. Of `slerp` and `karcher`: `mergekit` blends
    /// whole weights in place of deltas.
    #[cfg_attr(test, ts(optional, type = r#""peft" | "mergekit""#))]
    pub flavor: Option<String>,
    /// How the sums of merged tensors are rounded to the output's type: `nearest` (default), to even, or `stochastic`, up or down by chance, the
    /// likelier the nearer, so that deltas smaller than the type's steps are kept on average.
    #[cfg_attr(test, ts(optional, type = r#""nearest" | "stochastic""#))]
    pub rounding: Option<String>,
    /// What random numbers begin with: the same give the same bytes everywhere. A whole number, `0` by default.
    #[cfg_attr(test, ts(optional, as = "Option<u64>"))]
    pub seed: u64,
    /// What becomes of an output layer that is tied to the embedding: `auto` (default) does what the training did, `share` changes the one tensor
    /// that they are, `untie` gives the output layer a tensor of its own.
    #[cfg_attr(test, ts(optional, type = r#""auto" | "share" | "untie""#))]
    pub tied: Option<String>,
    /// Merge only tensors in whose name this regular expression matches somewhere.
    pub only: Option<String>,
    /// Do not merge tensors in whose name this regular expression matches somewhere.
    pub skip: Option<String>,
    /// Largest size of an output shard in bytes; by default the base's shards are kept.
    pub max_shard_size: Option<u64>,
    /// Adapter keys and patterns that match nothing become findings instead of errors; `false` by default.
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub allow_unmatched: bool,
    /// Trained weights in an adapter's folder that are no part of the adapter, and are not merged, become findings instead of errors.
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub allow_unmerged: bool,
    /// Whose tokenizer, chat template, generation and processor configuration the output has: `auto` (default) takes the adapter's where it brings
    /// embeddings, else the base's; `base`; `adapter`, which takes the first adapter's that has one.
    #[cfg_attr(test, ts(optional, type = r#""auto" | "base" | "adapter""#))]
    pub tokenizer: Option<String>,
    /// Hash the weight files of the base, and of whole models among the adapters, whose source knows no hash, before the merge, so that the recipe has every
    /// one; `false` by default: it reads them once more.
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub hash_base: bool,
    /// The SHA-256 in hex that the base must have: of its weight file, or of the lines `sha256sum` prints for its several ones in order of name. Another
    /// base is the error `base-mismatch`, before anything is written.
    pub expect_base: Option<String>,
    /// Compare what adapters hold of their base with this base, from samples of a few weights, and put the numbers into the report; `false` by default.
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub evidence: bool,
    /// What becomes of an embedding and an output layer of which a fine-tuned model, given as an adapter, has another number of rows than the base:
    /// `exact` (default) is an error, `intersect` merges the rows that both have, and leaves the rest as the base's.
    #[cfg_attr(test, ts(optional, type = r#""exact" | "intersect""#))]
    pub vocabulary: Option<String>,
    /// The base is a merged model, from which the adapters are taken out again; `false` by default.
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub unmerge: bool,
}

from_json!(PlanOptions {
    dtype,
    method,
    density,
    majority_sign: "majoritySign",
    gamma,
    epsilon,
    normalize,
    flavor,
    rounding,
    seed or 0,
    tied,
    only,
    skip,
    max_shard_size: "maxShardSize",
    allow_unmatched: "allowUnmatched",
    allow_unmerged: "allowUnmerged",
    tokenizer,
    hash_base: "hashBase",
    expect_base: "expectBase",
    evidence,
    vocabulary,
    unmerge,
});

/// What is asked of one adapter.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "AdapterSettings", rename_all = "camelCase", optional_fields))]
#[non_exhaustive]
pub struct AdapterOptions {
    /// Factor on the whole delta, any finite number; `1` by default.
    pub weight: Option<f64>,
    /// Share of its deltas that is kept, in place of the one of all adapters.
    pub density: Option<f64>,
    /// Replaces the `lora_alpha` of its configuration, patterns included.
    pub alpha: Option<f64>,
    /// How the columns of `lora_B` are ordered where it has the factors of many experts: `rank` (default), for each position of the rank those of
    /// all experts, as PEFT has them, or `expert`, for each expert those of its rank, as Unsloth wrote them before September 2026.
    #[cfg_attr(test, ts(optional, type = r#""rank" | "expert""#))]
    pub expert_packing: Option<String>,
    /// The base is the one that was saved with the adapter, from which its initialisation (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) has taken a part; `false` by default.
    pub residual_base: Option<bool>,
    /// How often the delta of `out_proj` in an nn.MultiheadAttention is added: `twice` (default) as PEFT does in the training and in its merge, or `once`.
    #[cfg_attr(test, ts(optional, type = r#""twice" | "once""#))]
    pub out_proj: Option<String>,
    /// Which adapter is meant, by its name, where a file or a folder has several.
    pub adapter: Option<String>,
    /// Factors on its delta in some tensors, beside `weight`: of several entries for a tensor the last counts. They may be negative; 0 leaves out.
    #[cfg_attr(test, ts(optional, as = "Option<Vec<ModuleWeight>>"))]
    pub weights: Vec<ModuleWeight>,
    /// Factors on its delta in the blocks of an image model, as sd-scripts, sd-webui-lora-block-weight and ComfyUI-Inspire-Pack have them: 17 or 26 numbers
    /// (SD 1.5), 12 or 20 (SDXL), 58 or 61 (Flux), with commas between them, or the name of a list: `NONE`, `ALL`, `INS`, `IND`, `INALL`, `MIDD`, `OUTD`, `OUTS`,
    /// `OUTALL`, `FLUXALL`, `FLUX-ALL`, `FLUX-DBL-FRONT7`, …
    pub block_weights: Option<String>,
    /// Merge only its deltas of tensors in whose name one of these regular expressions matches somewhere.
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub only: Vec<String>,
    /// Leave out its deltas of tensors in whose name one of these regular expressions matches somewhere.
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub skip: Vec<String>,
}

impl AdapterOptions {
    /// How `lora_B` has the experts.
    pub(crate) fn packing(&self) -> Result<Packing> {
        match self.expert_packing.as_deref() {
            None | Some("rank") => Ok(Packing::RankMajor),
            Some("expert") => Ok(Packing::ExpertMajor),
            Some(other) => Err(none_of("expertPacking", other, "rank, expert")),
        }
    }

    /// The first option that is given and says something that no whole model has.
    pub(super) fn of_adapters(&self) -> Option<&'static str> {
        let given = [
            (self.alpha.is_some(), "alpha"),
            (self.expert_packing.is_some(), "expertPacking"),
            (self.residual_base.is_some(), "residualBase"),
            (self.out_proj.is_some(), "outProj"),
            (self.adapter.is_some(), "adapter"),
        ];
        given.into_iter().find(|(is_given, _)| *is_given).map(|(_, option)| option)
    }
}

from_json!(AdapterOptions {
    weight,
    density,
    alpha,
    residual_base: "residualBase",
    out_proj: "outProj",
    adapter,
    expert_packing: "expertPacking",
    weights,
    block_weights: "blockWeights",
    only,
    skip,
});

/// What is said of the modules of one adapter, as it was said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModuleChoice {
    /// Factors.
    pub weights: Vec<ModuleWeight>,
    /// Patterns of which one must match.
    pub only: Vec<String>,
    /// Patterns of which none may match.
    pub skip: Vec<String>,
    /// A list of factors for the blocks of an image model, or its name.
    pub block_weights: Option<String>,
}

impl ModuleChoice {
    pub(super) fn of(options: &AdapterOptions) -> ModuleChoice {
        let AdapterOptions { weights, only, skip, block_weights, .. } = options.clone();
        ModuleChoice { weights, only, skip, block_weights }
    }

    /// Whether nothing is said.
    pub(crate) fn is_all(&self) -> bool {
        self.weights.is_empty() && self.only.is_empty() && self.skip.is_empty() && self.block_weights.is_none()
    }
}

/// The element type of merged and other floating-point tensors in the output.
pub type OutputDtype = Option<Float>;

/// What becomes of an output layer that is tied to the embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tied {
    /// What the training did.
    Auto,
    /// The two stay one tensor, which every update of either changes.
    Share,
    /// The output layer gets a tensor of its own.
    Untie,
}

/// The options, checked.
#[derive(Debug, Clone)]
pub(crate) struct CheckedOptions {
    pub(crate) dtype: OutputDtype,
    /// How several adapters combine, where it is not by the weighted sum.
    pub(crate) rules: Option<Box<Rules>>,
    /// The seed, where rounding is stochastic.
    pub(crate) stochastic: Option<u64>,
    pub(crate) tied: Tied,
    /// With their text.
    only: Option<(Pattern, String)>,
    skip: Option<(Pattern, String)>,
    pub(crate) max_shard_bytes: Option<u64>,
    pub(crate) allow_unmatched: bool,
    pub(crate) allow_unmerged: bool,
    pub(crate) tokenizer: Whose,
    /// Of vocabularies of two sizes, the rows that both have are merged.
    pub(crate) intersect: bool,
}

/// Whose tokenizer the output has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The adapter's where it brings embeddings, else the base's.
    Auto,
    Base,
    Adapter,
}

impl PlanOptions {
    /// Whether there is more to check than that the weighted sum is wanted: what checks it is rarely needed.
    fn asks_for_rules(&self) -> bool {
        let PlanOptions { method, density, majority_sign, gamma, epsilon, normalize, flavor, .. } = self;
        method.as_ref().is_some_and(|method| method != "linear")
            || [density, gamma, epsilon].iter().any(|number| number.is_some())
            || [majority_sign, flavor].iter().any(|text| text.is_some())
            || normalize.is_some()
    }

    pub(crate) fn check(&self) -> Result<CheckedOptions> {
        let bad = |option: &str, reason: String| Error::bad_option(option, reason);
        let dtype = match self.dtype.as_deref() {
            None | Some("keep") => None,
            Some("float32" | "f32") => Some(Float::F32),
            Some("float16" | "f16") => Some(Float::F16),
            Some("bfloat16" | "bf16") => Some(Float::Bf16),
            Some(other) => return Err(none_of("dtype", other, "keep, float32, float16, bfloat16")),
        };
        let stochastic = match self.rounding.as_deref() {
            None | Some("nearest") => None,
            Some("stochastic") => Some(self.seed),
            Some(other) => return Err(none_of("rounding", other, "nearest, stochastic")),
        };
        let tied = match self.tied.as_deref() {
            None | Some("auto") => Tied::Auto,
            Some("share") => Tied::Share,
            Some("untie") => Tied::Untie,
            Some(other) => return Err(none_of("tied", other, "auto, share, untie")),
        };
        let tokenizer = match self.tokenizer.as_deref() {
            None | Some("auto") => Whose::Auto,
            Some("base") => Whose::Base,
            Some("adapter") => Whose::Adapter,
            Some(other) => return Err(none_of("tokenizer", other, "auto, base, adapter")),
        };
        let intersect = match self.vocabulary.as_deref() {
            None | Some("exact") => false,
            Some("intersect") => true,
            Some(other) => return Err(none_of("vocabulary", other, "exact, intersect")),
        };
        if self.max_shard_size == Some(0) {
            return Err(bad("maxShardSize", "a shard of 0 bytes holds nothing".into()));
        }
        let pattern = |option: &str, text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            let refused = |reason| bad(option, reason).found(text).expected("a regular expression");
            Pattern::anywhere(text).map(|pattern| Some((pattern, text.clone()))).map_err(refused)
        };
        Ok(CheckedOptions {
            dtype,
            rules: self.asks_for_rules().then(|| Rules::of(self).map(Box::new)).transpose()?,
            stochastic,
            tied,
            only: pattern("only", &self.only)?,
            skip: pattern("skip", &self.skip)?,
            max_shard_bytes: self.max_shard_size,
            allow_unmatched: self.allow_unmatched,
            allow_unmerged: self.allow_unmerged,
            tokenizer,
            intersect,
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

/// The error for a value that is none of those that an option has.
pub(crate) fn none_of(option: &str, value: &str, expected: &str) -> Error {
    Error::bad_option(option, format!("{value:?} is none of {expected}")).found(value).expected(expected)
}
