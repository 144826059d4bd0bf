//! Which tensor of the merged model is which of the merge: by name, by the prefix that all names have, or the embedding that an output layer is tied to.

use std::collections::HashMap;

use crate::error::Result;
use crate::findings::Finding;
use crate::inputs::Span;
use crate::model::config_json::Config;
use crate::model::placement::Placement;
use crate::plan::tied::TiedHead;
use crate::plan::{Base, MergePlan};
use crate::tensor::Dtype;

/// A tensor of the merged model.
pub(super) struct Found {
    /// Its type.
    pub(super) dtype: Dtype,
    /// Its bytes.
    pub(super) at: Span,
    /// Whether its shape is the one that is expected.
    pub(super) same_shape: bool,
}

/// What the merged model has in the place of each tensor of the plan.
pub(super) fn find(plan: &MergePlan, merged: &Base, findings: &mut Vec<Finding>) -> Result<Vec<Option<Found>>> {
    let model =
        merged.config.as_deref().map(Config::parse).transpose()?.map(|config| config.model()).unwrap_or_default();
    let mut places = HashMap::new();
    for (shard, file) in merged.shards.iter().enumerate() {
        for (index, info) in file.header.iter().enumerate() {
            places.insert(info.name, (shard, index));
        }
    }
    let names: Vec<&str> = (0..plan.tensor_count()).map(|tensor| plan.tensor(tensor).name).collect();
    let there: Vec<&str> = merged.shards.iter().flat_map(|shard| shard.header.iter()).map(|info| info.name).collect();
    let moved = match names.iter().all(|name| places.contains_key(name)) {
        true => None,
        false => Placement::choose(&names, &there, &model.types).ok(),
    };
    let head = TiedHead::of(merged, &model);
    let mut taken = vec![0usize; merged.shards.len()];
    let mut all = Vec::with_capacity(names.len());
    for (tensor, name) in names.iter().enumerate() {
        let view = plan.tensor(tensor);
        let exact = places.get(name).copied();
        let place = exact.or_else(|| places.get(moved.as_ref()?.place(name)?).copied());
        if let Some((shard, _)) = place {
            taken[shard] += 1;
        }
        // A tied output layer is the embedding.
        let tied = || head.as_ref().filter(|head| head.info(merged).name == *name).map(|head| (head.shard, head.index));
        let found = place.or_else(tied).map(|(shard, index)| {
            let file = &merged.shards[shard];
            let info = file.header.tensor(index);
            let at = Span { input: file.input, start: file.header.data_start + info.start, bytes: info.bytes() };
            Found { dtype: info.dtype, at, same_shape: info.shape == view.shape }
        });
        all.push(found);
    }
    let extra = there.len().saturating_sub(taken.iter().sum());
    if extra > 0 {
        let message = format!("the merged model has {extra} tensors more than the merge has: they were not looked at");
        findings.push(Finding::warning("extra-tensors", None, message));
    }
    Ok(all)
}
