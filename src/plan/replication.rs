//! PEFT's `layer_replication` (its `replicate_layers`): the trained model has copies of the base's layers, each with factors of its own. The
//! copies become tensors like any other, with bytes from the same source.

use super::adapter::Adapter;
use super::open::Base;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::model::config_json::Layers;

/// What models call the list of their layers.
const LISTS: [&str; 3] = ["layers", "layer", "h"];
/// Most layers that a model may get.
const MOST: u64 = 10_000;

/// Give the base the layers that the adapters were trained on.
///
/// # Errors
/// `unsupported` if the adapters repeat different layers, or the base has several lists of layers; `bad-config` for layers that the base
/// does not have; `limit-exceeded` for too many tensors.
pub(super) fn replicate(base: &mut Base, adapters: &[Adapter], findings: &mut Vec<Finding>) -> Result<Option<Layers>> {
    let Some(repeating) = adapters.iter().find(|adapter| !adapter.replication.is_empty()) else { return Ok(None) };
    let ranges = &repeating.replication;
    let refuse = |reason: &str| Error::unsupported(repeating.name.clone(), reason).field(FIELD);
    if adapters.iter().any(|adapter| adapter.replication != *ranges) {
        return Err(refuse("the adapters repeat different layers of the base, so they fit no one model")
            .kind(ErrorKind::NotImplemented)
            .fix("merge each by itself"));
    }
    let (mut list, mut lists, mut of) = (None, 0, 0);
    base.each_name(&mut |name| {
        let Some((found, layer, _)) = split(name) else { return };
        lists += usize::from(list != Some(found));
        (list, of) = (Some(found), of.max(layer + 1));
    });
    if lists != 1 {
        return Err(refuse("it repeats layers of the base, which does not have exactly one list of layers")
            .fix("merge it into the language model alone"));
    }
    let mut sources: Vec<usize> = Vec::new();
    for &[start, end] in ranges {
        if end > of || sources.len() as u64 + end.saturating_sub(start) > MOST {
            let reason = format!("{FIELD} names the layers {start} to {end}, and the base has {of}");
            let error = Error::bad_config("adapter_config.json", reason).adapter(repeating.name.clone()).field(FIELD);
            return Err(error.found(end.to_string()).expected(of.to_string()));
        }
        sources.extend(start as usize..end as usize);
    }
    base.rename(&|name, names| match split(name) {
        None => names.push(name.into()),
        Some((list, layer, rest)) => {
            for (place, source) in sources.iter().enumerate() {
                if *source == layer as usize {
                    names.push(format!("{list}.{place}{rest}"));
                }
            }
        }
    })?;
    let message = format!("the base's {of} layers become {}: {FIELD} repeats them", sources.len());
    findings.push(Finding::info("layers-repeated", &repeating.name, message));
    Ok(Some(Layers { of: of as usize, sources }))
}

const FIELD: &str = "layer_replication";

/// The path of the list of layers, the layer's number, and the rest of the name, dot included.
fn split(name: &str) -> Option<(&str, u64, &str)> {
    let mut dots = name.match_indices('.').map(|(at, _)| at);
    dots.find_map(|at| {
        let list = &name[..at];
        let (number, rest) = name[at + 1..].split_once('.')?;
        let last = list.rsplit('.').next()?;
        let layer: u64 = number.parse().ok().filter(|layer| *layer < MOST)?;
        LISTS.contains(&last).then_some((list, layer, &name[name.len() - rest.len() - 1..]))
    })
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_first_list_of_layers_is_meant() {
        assert_eq!(split("model.layers.12.mlp.experts.3.weight"), Some(("model.layers", 12, ".mlp.experts.3.weight")));
        assert_eq!(split("h.0.attn.weight"), Some(("h", 0, ".attn.weight")));
        assert_eq!(split("bert.encoder.layer.1.x"), Some(("bert.encoder.layer", 1, ".x")));
        assert_eq!(split("layer.norm.weight"), None);
        assert_eq!(split("model.layers.5"), None);
    }
}
