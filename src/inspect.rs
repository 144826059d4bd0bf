//! What a folder is: a base, an adapter or a merged model, from headers and configurations alone.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::pattern::PatternBudget;
use crate::container::TensorInfo;
use crate::error::Result;
use crate::inputs::{Inputs, Listing};
use crate::model::config_json::Config;
use crate::plan::recipe::{self, FileDigest};
use crate::plan::{AdapterOptions, open_adapter, open_base};

/// What a folder is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(untagged)]
#[non_exhaustive]
pub enum Description {
    /// A base or a merged model.
    Model(ModelDescription),
    /// An adapter.
    Adapter(AdapterDescription),
}

/// What a base or a merged model is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ModelDescription {
    /// Whether it carries a recipe.
    #[cfg_attr(test, ts(inline))]
    pub kind: ModelKind,
    /// Name of its folder.
    pub name: String,
    /// The `model_type` of its configuration.
    pub model_type: Option<String>,
    /// The `tie_word_embeddings` of its configuration.
    pub tied: Option<bool>,
    /// Number of elements of all tensors.
    pub parameters: u64,
    /// The element types of its tensors, by their safetensors names.
    pub dtypes: BTreeMap<String, DtypeTotal>,
    /// Its weight files.
    pub files: Vec<WeightFile>,
    /// The sha256 in hex that tells it from others, where it is known or was asked for; what `expectBase` takes. See [`Base::sha256`](crate::plan::Base::sha256).
    pub sha256: Option<String>,
    /// What its config.json says that it was loaded from (`_name_or_path`).
    pub named: Option<String>,
    /// The metadata of its weight files, in their order, without the recipe.
    #[cfg_attr(test, ts(type = "Record<string, string>"))]
    pub metadata: Map<String, Value>,
    /// The recipe of a merged model, as its files have it.
    #[cfg_attr(test, ts(type = "Record<string, unknown> | null"))]
    pub recipe: Option<Value>,
    /// Its tensors.
    pub tensors: Vec<TensorDescription>,
}

/// Whether it is a base or a model that lorafold merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// It has no recipe.
    Base,
    /// It has a recipe.
    Merged,
}

/// The tensors of one element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct DtypeTotal {
    /// Number of tensors.
    pub tensors: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A weight file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct WeightFile {
    /// Name inside its folder.
    pub name: String,
    /// Number of tensors.
    pub tensors: usize,
    /// The sha256 of its bytes in hex, where it is known or was asked for.
    pub sha256: Option<String>,
}

/// A tensor of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TensorDescription {
    /// Name.
    pub name: String,
    /// Element type, by its safetensors name.
    pub dtype: String,
    /// Shape as stored.
    pub shape: Vec<u64>,
    /// Size in bytes.
    pub bytes: u64,
    /// The file that holds it.
    pub file: String,
}

/// What an adapter is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AdapterDescription {
    /// Distinguishes it from a model.
    #[cfg_attr(test, ts(inline))]
    pub kind: AdapterKind,
    /// Name of its folder.
    pub name: String,
    /// The `peft_type` of its configuration.
    pub r#type: String,
    /// Which tool's spelling it has.
    #[cfg_attr(test, ts(inline))]
    pub convention: Convention,
    /// Rank unless a pattern says otherwise, if it has one.
    pub r: Option<u64>,
    /// Alpha unless a pattern says otherwise, if it has one.
    pub alpha: Option<f64>,
    /// Whether its scale is α/√r instead of α/r.
    pub rslora: bool,
    /// The base that its configuration names.
    pub base_model: Option<String>,
    /// Its files.
    pub files: Vec<FileDigest>,
    /// The modules that it changes.
    pub modules: Vec<ModuleDescription>,
}

/// An adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// The only value.
    Adapter,
}

/// Which tool's spelling an adapter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Convention {
    /// PEFT's.
    Peft,
}

/// A module that an adapter changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct ModuleDescription {
    /// Path of the module in the model.
    pub module: String,
    /// The module's parameter: `weight`, `bias`.
    pub parameter: String,
    /// The method.
    pub method: &'static str,
    /// Rank r, if it has a scale.
    pub rank: Option<u64>,
    /// Alpha after patterns, if it has a scale.
    pub alpha: Option<f64>,
    /// α/r or α/√r, if it has a scale.
    pub scale: Option<f64>,
    /// Width of the module's input, if the adapter tells it.
    pub inputs: Option<u64>,
    /// Width of the module's output, if the adapter tells it.
    pub outputs: Option<u64>,
    /// Element type of its first factor, by its safetensors name.
    pub dtype: Option<String>,
}

/// Describe a folder. With `hash`, the weight files of a model are read as a whole where their source does not know their hashes.
///
/// # Errors
/// Those of [`open_base`] and [`open_adapter`].
pub async fn inspect(inputs: &impl Inputs, folder: &Listing, hash: bool) -> Result<Description> {
    let has = |name: &str| folder.files.iter().any(|file| file.name == name);
    if has("adapter_config.json") || has("adapter_model.safetensors") || has("adapter_model.bin") {
        inspect_adapter(inputs, folder).await.map(Description::Adapter)
    } else {
        inspect_model(inputs, folder, hash).await.map(Description::Model)
    }
}

async fn inspect_adapter(inputs: &impl Inputs, folder: &Listing) -> Result<AdapterDescription> {
    let adapter = open_adapter(inputs, folder, &AdapterOptions::default(), &mut PatternBudget::default()).await?;
    Ok(AdapterDescription {
        kind: AdapterKind::Adapter,
        r#type: adapter.summary.peft_type,
        convention: Convention::Peft,
        r: adapter.summary.r,
        alpha: adapter.summary.alpha,
        rslora: adapter.summary.rslora,
        modules: adapter.updates.iter().map(describe_module).collect(),
        name: adapter.name,
        base_model: adapter.summary.base_name,
        files: adapter.digests,
    })
}

fn describe_module(update: &ModuleUpdate) -> ModuleDescription {
    let (scale, layer) = (update.op.scale, &update.op.layer);
    ModuleDescription {
        module: update.module.clone(),
        parameter: update.parameter.clone(),
        method: update.op.method.name,
        rank: scale.map(|scale| scale.rank),
        alpha: scale.map(|scale| scale.alpha),
        scale: scale.map(|scale| scale.scale),
        inputs: layer.inputs,
        outputs: layer.outputs,
        dtype: update.op.operands.first().map(|operand| operand.dtype.to_string()),
    }
}

async fn inspect_model(inputs: &impl Inputs, folder: &Listing, hash: bool) -> Result<ModelDescription> {
    let mut base = open_base(inputs, folder).await?;
    if hash {
        base.hash(inputs, folder).await?;
    }
    let mut dtypes: BTreeMap<String, DtypeTotal> = BTreeMap::new();
    let mut metadata = Map::new();
    let mut tensors = Vec::new();
    let mut files = Vec::new();
    let mut parameters = 0;
    for shard in &base.shards {
        for (key, value) in shard.header.metadata() {
            if !metadata.contains_key(key) {
                metadata.insert(key.into(), value.into());
            }
        }
        for tensor in shard.header.iter() {
            let total = dtypes.entry(tensor.dtype.to_string()).or_default();
            total.tensors += 1;
            total.bytes += tensor.bytes();
            parameters += tensor.elements();
            tensors.push(describe_tensor(&tensor, &shard.name));
        }
        let sha256 = shard.sha256.clone();
        files.push(WeightFile { name: shard.name.clone(), tensors: shard.header.len(), sha256 });
    }
    metadata.remove(recipe::KEY);
    let recipe = recipe::of(&base);
    let config = base.config.as_deref().and_then(|json| Config::parse(json).ok()).unwrap_or_default();
    let said = |name: &str| config.get(name).unwrap_or_default();
    Ok(ModelDescription {
        kind: if recipe.as_ref().is_some_and(|recipe| recipe["method"] != "unmerge") {
            ModelKind::Merged
        } else {
            ModelKind::Base
        },
        model_type: said("model_type").as_str().map(Into::into),
        tied: said(Config::TIED).as_bool(),
        parameters,
        dtypes,
        files,
        sha256: base.sha256(),
        named: said("_name_or_path").as_str().filter(|name| !name.is_empty()).map(Into::into),
        metadata,
        recipe,
        tensors,
        name: base.name,
    })
}

fn describe_tensor(tensor: &TensorInfo, file: &str) -> TensorDescription {
    TensorDescription {
        name: tensor.name.into(),
        dtype: tensor.dtype.to_string(),
        shape: tensor.shape.into(),
        bytes: tensor.bytes(),
        file: file.into(),
    }
}
