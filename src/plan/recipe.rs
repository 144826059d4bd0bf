//! The recipe that a merged file carries in its metadata: what it was made of, and how.
//!
//! It holds no dates, paths or host names, so that the same inputs give the same bytes everywhere.

use serde_json::{Value, json};

use super::open::{Adapter, Base};
use super::options::PlanOptions;
use super::tensor::PlannedTensor;

/// Key of the recipe in `__metadata__`.
pub const KEY: &str = "lorafold.recipe";

/// The recipe as a JSON object.
pub(crate) fn recipe(base: &Base, adapters: &[Adapter], tensors: &[PlannedTensor], options: &PlanOptions) -> Value {
    let shards: Vec<Value> = base
        .shards
        .iter()
        .map(|shard| {
            let end = shard.header.tensors.iter().map(|tensor| tensor.end).max().unwrap_or(0);
            json!({ "name": shard.name, "size": shard.header.data_start + end })
        })
        .collect();
    let adapters: Vec<Value> = adapters.iter().map(|adapter| one_adapter(adapter, tensors)).collect();
    let mut recipe = json!({
        "lorafold": env!("CARGO_PKG_VERSION"),
        "method": options.method.as_deref().unwrap_or("linear"),
        "dtype": options.dtype.as_deref().map_or("keep", long_name),
        "rounding": options.rounding.as_deref().unwrap_or("nearest"),
        "base": { "files": shards },
        "adapters": adapters,
    });
    for (name, pattern) in [("only", &options.only), ("skip", &options.skip)] {
        if let Some(pattern) = pattern {
            recipe[name] = json!(pattern);
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

fn one_adapter(adapter: &Adapter, tensors: &[PlannedTensor]) -> Value {
    let files: Vec<Value> =
        adapter.digests.iter().map(|(name, sha256)| json!({ "name": name, "sha256": sha256 })).collect();
    let mut scales: Vec<Value> = Vec::new();
    let merges = tensors.iter().filter_map(|tensor| tensor.merge.as_ref());
    for term in merges.flat_map(|merge| &merge.terms).filter(|term| term.a.input == adapter.input) {
        let scale = json!({ "rank": term.rank, "alpha": term.alpha, "scale": term.scale });
        if !scales.contains(&scale) {
            scales.push(scale);
        }
    }
    json!({ "files": files, "weight": adapter.weight, "rslora": adapter.config.rslora, "scales": scales })
}
