//! The recipe that a merged file carries in its metadata: what it was made of, and how.
//!
//! It holds no dates, paths or host names, so that the same inputs give the same bytes everywhere. Of a repository of a hub it names the
//! commit and the hashes that the hub has of its files.

use serde::Serialize;
use serde_json::Value;

use super::adapter::Adapter;
use super::module_weights::ModuleWeight;
use super::open::Base;
use super::options::{CheckedOptions, PlanOptions};
use super::rules::RANDOM;
use super::scales::{AdapterScales, Scales};
use super::tensors::Tensors;
use crate::json;
use crate::model::config_json::torch_name;
use crate::op::Scale;
use crate::wire::wire;

/// Key of the recipe in `__metadata__`.
pub(crate) const KEY: &str = "lorafold.recipe";

/// The recipe that a merged model carries.
pub(crate) fn of(base: &Base) -> Option<Value> {
    let mut metadata = base.shards.iter().flat_map(|shard| shard.header.metadata());
    let (_, text) = metadata.find(|(key, _)| *key == KEY)?;
    json::parse(text.as_bytes()).ok()
}

/// What a merged model was made of, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct Recipe {
    /// Version of lorafold.
    pub lorafold: String,
    /// How the deltas were combined.
    pub method: String,
    /// Share of each delta that was kept, where that was said of all adapters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<f64>,
    /// Share of the largest values that was dropped, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// How far probabilities were from the density, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// How signs were elected, where they were.
    #[serde(rename = "majoritySign", skip_serializing_if = "Option::is_none")]
    pub majority_sign: Option<String>,
    /// How they were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random: Option<String>,
    /// Whether the sum was divided, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// Whose definition of the method it was, where it was not PEFT's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flavor: Option<String>,
    /// Element type that was asked for, or `keep`.
    pub dtype: String,
    /// How sums were rounded.
    pub rounding: String,
    /// What the random numbers begin with, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The base.
    pub base: RecipeBase,
    /// The adapters, in their order.
    pub adapters: Vec<RecipeAdapter>,
    /// What became of a tied output layer, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tied: Option<String>,
    /// Whose tokenizer stands beside the weights, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Pattern of the names of the tensors that were merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// Pattern of the names of the tensors that were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<String>,
    /// `intersect` where of vocabularies of two sizes the rows that both have were merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<String>,
}

/// The base in a recipe.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct RecipeBase {
    /// Where it can be had again, where a hub has it: `hf://org/name@commit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Its weight files.
    pub files: Vec<RecipeFile>,
    /// Its own recipe, as it stands in its files, where it is a merged model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "Record<string, unknown>"))]
    pub recipe: Option<Value>,
}

/// A weight file of the base in a recipe.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct RecipeFile {
    /// Name inside its folder.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// The sha256 of its bytes in hex, where its source knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// An adapter in a recipe.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct RecipeAdapter {
    /// Where it can be had again, where a hub has it: `hf://org/name@commit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Its files.
    pub files: Vec<FileDigest>,
    /// The whole fine-tuned model that it is, of which the difference to the base was merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<RecipeBase>,
    /// Which one of the adapters in them it is, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// Whether the base is the one that its initialisation has changed, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<bool>,
    /// How the columns of `lora_B` are ordered where it has the factors of many experts, where that was said.
    #[serde(rename = "expertPacking", skip_serializing_if = "Option::is_none")]
    pub expert_packing: Option<String>,
    /// Factor on its whole delta.
    pub weight: f64,
    /// Share of its deltas that was kept, where that was said of this adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<f64>,
    /// Factors on its delta in some tensors, beside that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<ModuleWeight>>"))]
    pub weights: Vec<ModuleWeight>,
    /// Factors on its delta in the blocks of a UNet.
    #[serde(rename = "blockWeights", skip_serializing_if = "Option::is_none")]
    pub block_weights: Option<String>,
    /// Patterns of the names of its tensors that were merged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub only: Vec<String>,
    /// Patterns of the names of its tensors that were not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub skip: Vec<String>,
    /// Whether its scale is α/√r instead of α/r.
    pub rslora: bool,
    /// Each scale that it has.
    pub scales: Vec<RecipeScale>,
}

/// A file and its hash.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct FileDigest {
    /// Name inside its folder.
    pub name: String,
    /// The sha256 of its bytes in hex.
    pub sha256: String,
}

/// A scale of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct RecipeScale {
    /// Rank r.
    pub rank: u64,
    /// Alpha after patterns and override.
    pub alpha: f64,
    /// α/r or α/√r.
    pub scale: f64,
}

wire!(Recipe {
    lorafold,
    method,
    density,
    gamma,
    epsilon,
    majority_sign,
    seed,
    random,
    normalize,
    flavor,
    dtype,
    rounding,
    base,
    adapters,
    tied,
    tokenizer,
    only,
    skip,
    vocabulary
});
wire!(RecipeBase { origin, files, recipe });
wire!(RecipeFile { name, size, sha256 });
wire!(RecipeAdapter {
    origin,
    files,
    model,
    adapter,
    residual,
    expert_packing,
    weight,
    density,
    weights,
    block_weights,
    only,
    skip,
    rslora,
    scales
});
wire!(FileDigest { name, sha256 });
wire!(RecipeScale { rank, alpha, scale });

/// The recipe of a merge. `checked` are the options, checked.
pub(crate) fn recipe(
    base: &Base,
    adapters: &[Adapter],
    tensors: &Tensors,
    options: &PlanOptions,
    checked: &CheckedOptions,
) -> Recipe {
    let scales = Scales::of(tensors, adapters);
    let [elects, draws] = checked.rules.as_ref().map_or([false; 2], |rules| [rules.elects(), rules.is_random()]);
    Recipe {
        lorafold: env!("CARGO_PKG_VERSION").into(),
        method: if options.unmerge { "unmerge" } else { options.method.as_deref().unwrap_or("linear") }.into(),
        density: options.density,
        gamma: options.gamma,
        epsilon: options.epsilon,
        majority_sign: elects.then(|| options.majority_sign.clone().unwrap_or_else(|| "total".into())),
        random: draws.then(|| RANDOM.into()),
        normalize: options.normalize,
        flavor: options.flavor.clone().filter(|flavor| flavor != "peft"),
        dtype: checked.dtype.map_or("keep", torch_name).into(),
        rounding: options.rounding.as_deref().unwrap_or("nearest").into(),
        seed: (draws || options.rounding.as_deref() == Some("stochastic")).then_some(options.seed),
        base: of_base(base),
        adapters: adapters.iter().map(|adapter| one_adapter(adapter, scales.of_adapter(adapter))).collect(),
        tied: options.tied.clone().filter(|tied| tied != "auto"),
        tokenizer: options.tokenizer.clone().filter(|tokenizer| tokenizer != "auto"),
        only: options.only.clone(),
        skip: options.skip.clone(),
        vocabulary: options.vocabulary.clone().filter(|vocabulary| vocabulary != "exact"),
    }
}

/// What a recipe says of a model.
pub(super) fn of_base(base: &Base) -> RecipeBase {
    let files = base.shards.iter().map(|shard| RecipeFile {
        name: shard.name.clone(),
        size: shard.header.file_bytes,
        sha256: shard.sha256.clone(),
    });
    RecipeBase { origin: base.origin.clone(), files: files.collect(), recipe: of(base) }
}

fn one_adapter(adapter: &Adapter, scales: AdapterScales) -> RecipeAdapter {
    let scale = |(Scale { rank, alpha, scale }, _)| RecipeScale { rank, alpha, scale };
    RecipeAdapter {
        origin: adapter.origin.clone(),
        files: adapter.digests.clone(),
        model: adapter.tuned.as_ref().map(|tuned| tuned.identity.clone()),
        adapter: adapter.wanted.clone(),
        residual: adapter.residual_base,
        expert_packing: adapter.expert_packing.clone(),
        weight: adapter.weight,
        density: adapter.density,
        weights: adapter.choice.weights.clone(),
        block_weights: adapter.choice.block_weights.clone(),
        only: adapter.choice.only.clone(),
        skip: adapter.choice.skip.clone(),
        rslora: adapter.summary.rslora,
        scales: scales.scales.into_iter().map(scale).collect(),
    }
}
