//! What a folder is: a base, an adapter or a merged model, from headers and configurations alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::inputs::{Folder, Inputs};
use crate::plan::recipe;
use crate::plan::{AdapterOptions, open_adapter, open_base};
use crate::safetensors::TensorInfo;

/// Describe a folder as JSON: `kind` is "adapter", "base" or "merged" (a base with a recipe).
///
/// # Errors
/// Those of [`open_base`] and [`open_adapter`].
pub async fn inspect(inputs: &impl Inputs, folder: &Folder) -> Result<Value> {
    let has = |name: &str| folder.files.iter().any(|file| file.name == name);
    if has("adapter_config.json") || has("adapter_model.safetensors") {
        inspect_adapter(inputs, folder).await
    } else {
        inspect_model(inputs, folder).await
    }
}

async fn inspect_adapter(inputs: &impl Inputs, folder: &Folder) -> Result<Value> {
    let adapter = open_adapter(inputs, folder, &AdapterOptions::default()).await?;
    let pairs: Vec<Value> = adapter
        .pairs
        .iter()
        .map(|pair| {
            let alpha = adapter.config.alpha_of(&pair.module)?;
            Ok(json!({
                "module": pair.module, "rank": pair.rank, "alpha": alpha, "scale": adapter.config.scale(alpha, pair.rank),
                "inputs": pair.inputs, "outputs": pair.outputs, "dtype": pair.a.float.dtype().name(),
            }))
        })
        .collect::<Result<_>>()?;
    let files: Vec<Value> =
        adapter.digests.iter().map(|(name, sha256)| json!({ "name": name, "sha256": sha256 })).collect();
    Ok(json!({
        "kind": "adapter",
        "name": adapter.name,
        "type": "LORA",
        "convention": "peft",
        "r": adapter.config.r,
        "alpha": adapter.config.alpha,
        "rslora": adapter.config.rslora,
        "baseModel": adapter.config.base_name,
        "files": files,
        "modules": pairs,
    }))
}

async fn inspect_model(inputs: &impl Inputs, folder: &Folder) -> Result<Value> {
    let base = open_base(inputs, folder).await?;
    let mut dtypes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut metadata = Map::new();
    let mut tensors = Vec::new();
    let mut files = Vec::new();
    for shard in &base.shards {
        for (key, value) in shard.header.metadata.iter().flatten() {
            metadata.entry(key.clone()).or_insert_with(|| value.clone().into());
        }
        for tensor in &shard.header.tensors {
            let sum = dtypes.entry(tensor.dtype.name()).or_default();
            *sum = (sum.0 + 1, sum.1 + tensor.bytes());
            tensors.push(describe(tensor, &shard.name));
        }
        files.push(json!({ "name": shard.name, "tensors": shard.header.tensors.len() }));
    }
    let recipe = metadata
        .remove(recipe::KEY)
        .and_then(|text| text.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()));
    let config: Value =
        base.config.as_deref().and_then(|json| serde_json::from_slice(json).ok()).unwrap_or(Value::Null);
    let dtypes: Map<String, Value> = dtypes
        .into_iter()
        .map(|(name, (count, bytes))| (name.into(), json!({ "tensors": count, "bytes": bytes })))
        .collect();
    let parameters: u64 = base.shards.iter().flat_map(|shard| &shard.header.tensors).map(TensorInfo::elements).sum();
    Ok(json!({
        "kind": if recipe.is_some() { "merged" } else { "base" },
        "name": base.name,
        "modelType": config["model_type"],
        "tied": config["tie_word_embeddings"],
        "parameters": parameters,
        "dtypes": dtypes,
        "files": files,
        "metadata": metadata,
        "recipe": recipe,
        "tensors": tensors,
    }))
}

fn describe(tensor: &TensorInfo, file: &str) -> Value {
    json!({ "name": tensor.name, "dtype": tensor.dtype.name(), "shape": tensor.shape, "bytes": tensor.bytes(), "file": file })
}
