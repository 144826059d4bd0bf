//! Bases that were saved while PEFT had them wrapped: their layers are called `….base_layer.weight`, and the whole model may be below
//! `base_model.model.`. They are read, and written, under the names of the model itself.

use std::collections::HashSet;

use super::open::Base;
use crate::error::{Error, Result};
use crate::findings::Finding;

/// PEFT's name for what it has wrapped.
const WRAPPED: &str = "base_layer";

/// Give the tensors of a wrapped base their own names, and say so.
///
/// # Errors
/// `unsupported` where the weights of an adapter are among them, `bad-header` where two tensors would have one name.
pub(super) fn unwrap(base: &mut Base) -> Result<Option<Finding>> {
    let names = || base.shards.iter().flat_map(|shard| shard.header.iter()).map(|tensor| tensor.name);
    // The layers that are wrapped. A model's own `base_layer` has layers inside.
    let layer = |name| split(name).filter(|(_, rest)| matches!(*rest, "weight" | "bias" | "in_proj_weight"));
    let layers: HashSet<&str> = names().filter_map(layer).map(|(layer, _)| layer).collect();
    let all_below = || names().next().is_some() && names().all(|name| name.starts_with("base_model.model."));
    if layers.is_empty() && !all_below() {
        return Ok(None);
    }
    let is_adapters = |name: &&str| {
        let mut ends = name.match_indices('.').map(|(at, _)| name.split_at(at));
        ends.any(|(layer, rest)| {
            layers.contains(layer) && !rest[1..].starts_with(WRAPPED) || rest.starts_with(".modules_to_save.")
        })
    };
    if let Some(name) = names().find(is_adapters) {
        let reason = "the base was saved with an adapter inside, whose weights would be lost";
        return Err(Error::unsupported(name, reason)
            .tensor(name)
            .fix("save the two apart, with PEFT: model.save_pretrained(…), then model.unload().save_pretrained(…)"));
    }
    for shard in &mut base.shards {
        let plain = shard.header.iter().enumerate().map(|(number, tensor)| (plain(tensor.name), number));
        shard.header = shard.header.of_tensors(&shard.name, &plain.collect::<Vec<_>>())?;
    }
    let message = "it was saved as PEFT had wrapped it: its tensors get the names that they had before";
    Ok(Some(Finding::warning("peft-wrapped", None, message.into())))
}

/// The path before the last `base_layer`, and what is behind it.
fn split(name: &str) -> Option<(&str, &str)> {
    let (layer, rest) = name.rsplit_once(WRAPPED)?;
    layer.strip_suffix('.').zip(rest.strip_prefix('.'))
}

/// The name without PEFT's parts.
fn plain(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('.') {
        match part {
            WRAPPED if !parts.is_empty() => {}
            "model" if parts.last() == Some(&"base_model") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_what_peft_adds() {
        for (name, without) in [
            ("base_model.model.model.layers.0.q.base_layer.weight", "model.layers.0.q.weight"),
            ("language_model.base_model.model.model.norm.weight", "language_model.model.norm.weight"),
            ("attn.base_layer.out_proj.base_layer.bias", "attn.out_proj.bias"),
            ("base_layer.0.weight", "base_layer.0.weight"),
        ] {
            assert_eq!(plain(name), without);
        }
    }
}
