//! What a folder is: a base, an adapter or a merged model, from headers and configurations alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::pattern::PatternBudget;
use crate::container::TensorInfo;
use crate::error::Result;
use crate::inputs::{Inputs, Listing};
use crate::json::object;
use crate::model::config_json::Config;
use crate::op::Scale;
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
    let adapter = open_adapter(inputs, folder, &AdapterOptions::default(), &mut PatternBudget::default()).await?;
    let module = |update: &ModuleUpdate| {
        let Scale { rank, alpha, scale } = update.op.scale();
        let dtype = update.op.operands().first().map(|operand| operand.float.dtype().to_string());
        object([
            ("module", update.module.as_str().into()),
            ("method", update.op.name().into()),
            ("rank", rank.into()),
            ("alpha", alpha.into()),
            ("scale", scale.into()),
            ("inputs", update.inputs.into()),
            ("outputs", update.outputs.into()),
            ("dtype", dtype.into()),
        ])
    };
    let modules: Vec<Value> = adapter.updates.iter().map(module).collect();
    Ok(object([
        ("kind", "adapter".into()),
        ("name", adapter.name.as_str().into()),
        ("type", "LORA".into()),
        ("convention", "peft".into()),
        ("r", adapter.summary.r.into()),
        ("alpha", adapter.summary.alpha.into()),
        ("rslora", adapter.summary.rslora.into()),
        ("baseModel", adapter.summary.base_name.as_deref().into()),
        ("files", recipe::digests(&adapter)),
        ("modules", modules.into()),
    ]))
}

async fn inspect_model(inputs: &impl Inputs, folder: &Listing) -> Result<Value> {
    let base = open_base(inputs, folder).await?;
    let mut dtypes: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    let mut metadata = Map::new();
    let mut tensors = Vec::new();
    let mut files = Vec::new();
    for shard in &base.shards {
        for (key, value) in shard.header.metadata() {
            if !metadata.contains_key(key) {
                metadata.insert(key.into(), value.into());
            }
        }
        for tensor in shard.header.iter() {
            let [count, bytes] = dtypes.entry(tensor.dtype.to_string()).or_default();
            *count += 1;
            *bytes += tensor.bytes();
            tensors.push(describe(&tensor, &shard.name));
        }
        files.push(object([("name", shard.name.as_str().into()), ("tensors", shard.header.len().into())]));
    }
    metadata.remove(recipe::KEY);
    let recipe = recipe::of(&base);
    let config = base.config.as_deref().and_then(|json| Config::parse(json).ok()).unwrap_or_default();
    let dtypes: Map<String, Value> = dtypes
        .into_iter()
        .map(|(name, [count, bytes])| (name, object([("tensors", count.into()), ("bytes", bytes.into())])))
        .collect();
    let parameters: u64 =
        base.shards.iter().flat_map(|shard| shard.header.iter()).map(|tensor| tensor.elements()).sum();
    let said = |name: &str| config.get(name).unwrap_or(Value::Null);
    Ok(object([
        ("kind", if recipe.is_some() { "merged" } else { "base" }.into()),
        ("name", base.name.as_str().into()),
        ("modelType", said("model_type")),
        ("tied", said("tie_word_embeddings")),
        ("parameters", parameters.into()),
        ("dtypes", dtypes.into()),
        ("files", files.into()),
        ("metadata", metadata.into()),
        ("recipe", recipe.into()),
        ("tensors", tensors.into()),
    ]))
}

fn describe(tensor: &TensorInfo, file: &str) -> Value {
    object([
        ("name", tensor.name.into()),
        ("dtype", tensor.dtype.to_string().into()),
        ("shape", tensor.shape.into()),
        ("bytes", tensor.bytes().into()),
        ("file", file.into()),
    ])
}
