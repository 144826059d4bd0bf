//! The recipe that a merged file carries in its metadata: what it was made of, and how.
//!
//! It holds no dates, paths or host names, so that the same inputs give the same bytes everywhere.

use serde_json::Value;

use super::open::{Adapter, Base};
use super::options::PlanOptions;
use super::tensors::Tensors;
use crate::json::{Json, object};
use crate::op::Scale;

/// Key of the recipe in `__metadata__`.
pub(crate) const KEY: &str = "lorafold.recipe";

/// The recipe that a merged model carries.
pub(crate) fn of(base: &Base) -> Option<Value> {
    let mut metadata = base.shards.iter().flat_map(|shard| shard.header.metadata());
    let (_, text) = metadata.find(|(key, _)| *key == KEY)?;
    Json::parse(text.as_bytes()).ok().map(Value::from)
}

/// The recipe as a JSON object.
pub(crate) fn recipe(base: &Base, adapters: &[Adapter], tensors: &Tensors, options: &PlanOptions) -> Value {
    let shards: Vec<Value> = base
        .shards
        .iter()
        .map(|shard| {
            let end = shard.header.iter().map(|tensor| tensor.end).max().unwrap_or(0);
            object([("name", shard.name.as_str().into()), ("size", (shard.header.data_start + end).into())])
        })
        .collect();
    let mut made_of = object([("files", shards.into())]);
    if let (Some(earlier), Value::Object(made_of)) = (of(base), &mut made_of) {
        made_of.insert("recipe".into(), earlier);
    }
    let adapters: Vec<Value> = adapters.iter().map(|adapter| one_adapter(adapter, tensors)).collect();
    let mut recipe = object([
        ("lorafold", env!("CARGO_PKG_VERSION").into()),
        ("method", options.method.as_deref().unwrap_or("linear").into()),
        ("dtype", options.dtype.as_deref().map_or("keep", long_name).into()),
        ("rounding", options.rounding.as_deref().unwrap_or("nearest").into()),
        ("base", made_of),
        ("adapters", adapters.into()),
    ]);
    for (name, pattern) in [("only", &options.only), ("skip", &options.skip)] {
        if let (Some(pattern), Value::Object(recipe)) = (pattern, &mut recipe) {
            recipe.insert(name.into(), pattern.as_str().into());
        }
    }
    recipe
}

/// The command line's short names and the API's long ones mean, and write, the same.
fn long_name(dtype: &str) -> &str {
    match dtype {
        "f32" => "float32",
        "f16" => "float16",
        "bf16" => "bfloat16",
        other => other,
    }
}

fn one_adapter(adapter: &Adapter, tensors: &Tensors) -> Value {
    let mut scales: Vec<(u64, f64, f64)> = Vec::new();
    for update in tensors.programs().iter().flat_map(|program| &program.updates).filter(|update| adapter.made(update)) {
        let Scale { rank, alpha, scale } = update.op.scale();
        let scale = (rank, alpha, scale);
        if !scales.contains(&scale) {
            scales.push(scale);
        }
    }
    let scale = |(rank, alpha, scale): (u64, f64, f64)| {
        object([("rank", rank.into()), ("alpha", alpha.into()), ("scale", scale.into())])
    };
    object([
        ("files", digests(adapter)),
        ("weight", adapter.weight.into()),
        ("rslora", adapter.summary.rslora.into()),
        ("scales", scales.into_iter().map(scale).collect()),
    ])
}

/// The adapter's files and their hashes.
pub(crate) fn digests(adapter: &Adapter) -> Value {
    let digest = |(name, sha256): &(String, String)| {
        object([("name", name.as_str().into()), ("sha256", sha256.as_str().into())])
    };
    adapter.digests.iter().map(digest).collect()
}
