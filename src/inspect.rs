//! What a folder is: a base, an adapter or a merged model, from headers and configurations alone.

use serde_json::{Map, Value};

use crate::adapter::SettingsLookup;
use crate::adapter::pattern::PatternBudget;
use crate::container::TensorInfo;
use crate::error::Result;
use crate::inputs::{Inputs, Listing};
use crate::json::{object, sorted};
use crate::model::config_json::Config;
use crate::plan::recipe;
use crate::plan::{AdapterOptions, open_adapter, open_base};

/// Describe a folder as JSON: `kind` is "adapter", "base" or "merged" (a base with a recipe).
///
/// # Errors
/// Those of [`open_base`] and [`open_adapter`].
pub async fn inspect(inputs: &impl Inputs, folder: &Listing) -> Result<Value> {
    let has = |name: &str| folder.files.iter().any(|file| file.name == name);
    if has("adapter_config.json") || has("adapter_model.safetensors") {
        inspect_adapter(inputs, folder).await
    } else {
        inspect_model(inputs, folder).await
    }
}

async fn inspect_adapter(inputs: &impl Inputs, folder: &Listing) -> Result<Value> {
    let adapter = open_adapter(inputs, folder, &AdapterOptions::default()).await?;
    let (mut settings, mut budget) = (SettingsLookup::new(&adapter.config), PatternBudget::default());
    let pairs: Vec<Value> = adapter
        .pairs
        .iter()
        .map(|pair| {
            let alpha = settings.find(&pair.module, &mut budget).map_err(|error| error.adapter(&adapter.name))?.alpha;
            Ok(object([
                ("module", pair.module.as_str().into()),
                ("rank", pair.rank.into()),
                ("alpha", alpha.into()),
                ("scale", adapter.config.scale(alpha, pair.rank).into()),
                ("inputs", pair.inputs.into()),
                ("outputs", pair.outputs.into()),
                ("dtype", pair.a.float.dtype().name().into()),
            ]))
        })
        .collect::<Result<_>>()?;
    Ok(object([
        ("kind", "adapter".into()),
        ("name", adapter.name.as_str().into()),
        ("type", "LORA".into()),
        ("convention", "peft".into()),
        ("r", adapter.config.r.into()),
        ("alpha", adapter.config.alpha.into()),
        ("rslora", adapter.config.rslora.into()),
        ("baseModel", adapter.config.base_name.as_deref().into()),
        ("files", recipe::digests(&adapter)),
        ("modules", pairs.into()),
    ]))
}

async fn inspect_model(inputs: &impl Inputs, folder: &Listing) -> Result<Value> {
    let base = open_base(inputs, folder).await?;
    let mut dtypes: Vec<(&str, u64, u64)> = Vec::new();
    let mut metadata = Map::new();
    let mut tensors = Vec::new();
    let mut files = Vec::new();
    for shard in &base.shards {
        for (key, value) in shard.header.metadata.iter().flatten() {
            if !metadata.contains_key(key) {
                metadata.insert(key.clone(), value.as_str().into());
            }
        }
        for tensor in &shard.header.tensors {
            let name = tensor.dtype.name();
            match dtypes.iter_mut().find(|sum| sum.0 == name) {
                Some(sum) => *sum = (name, sum.1 + 1, sum.2 + tensor.bytes()),
                None => dtypes.push((name, 1, tensor.bytes())),
            }
            tensors.push(describe(tensor, &shard.name));
        }
        files.push(object([("name", shard.name.as_str().into()), ("tensors", shard.header.tensors.len().into())]));
    }
    metadata.remove(recipe::KEY);
    let recipe = recipe::of(&base);
    let config = base.config.as_deref().and_then(|json| Config::parse(json).ok()).unwrap_or_default();
    let mut by_dtype = Map::new();
    for name in sorted(dtypes.iter().map(|sum| sum.0).collect()) {
        for (_, count, bytes) in dtypes.iter().filter(|sum| sum.0 == name) {
            by_dtype.insert(name.into(), object([("tensors", (*count).into()), ("bytes", (*bytes).into())]));
        }
    }
    let parameters: u64 = base.shards.iter().flat_map(|shard| &shard.header.tensors).map(TensorInfo::elements).sum();
    let said = |name: &str| config.get(name).cloned().unwrap_or(Value::Null);
    Ok(object([
        ("kind", if recipe.is_some() { "merged" } else { "base" }.into()),
        ("name", base.name.as_str().into()),
        ("modelType", said("model_type")),
        ("tied", said("tie_word_embeddings")),
        ("parameters", parameters.into()),
        ("dtypes", by_dtype.into()),
        ("files", files.into()),
        ("metadata", metadata.into()),
        ("recipe", recipe.into()),
        ("tensors", tensors.into()),
    ]))
}

fn describe(tensor: &TensorInfo, file: &str) -> Value {
    object([
        ("name", tensor.name.as_str().into()),
        ("dtype", tensor.dtype.name().into()),
        ("shape", tensor.shape.as_slice().into()),
        ("bytes", tensor.bytes().into()),
        ("file", file.into()),
    ])
}
