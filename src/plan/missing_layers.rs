//! Adapters that hold only some of the layers: those of one pipeline stage, or what one of many processes saved.

use super::adapter::Adapter;
use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::pattern::PatternBudget;
use crate::container::TensorInfo;
use crate::error::Result;
use crate::findings::Finding;
use crate::order::sort;

/// The finding if the base has the same modules in other layers, the adapter's configuration names them, and its file has nothing for them.
///
/// # Errors
/// `limit-exceeded` where a pattern of the configuration takes too many steps.
pub(super) fn missing_layers(
    adapter: &Adapter,
    placed: &[(&ModuleUpdate, usize)],
    tensors: &[TensorInfo],
    budget: &mut PatternBudget,
) -> Result<Option<Finding>> {
    let mut changed = vec![false; tensors.len()];
    let mut kinds = Vec::new();
    for (number, &(update, tensor)) in placed.iter().enumerate() {
        changed[tensor] = true;
        if !update.optional && update.op.replacement.is_none() {
            kinds.push((kind(tensors[tensor].name), number));
        }
    }
    sort(&mut kinds);
    kinds.dedup_by_key(|(kind, _)| *kind);
    // For each kind, how many the adapter lacks, and the first of them.
    let mut lacking = vec![(0, 0); kinds.len()];
    for (tensor, info) in tensors.iter().enumerate().filter(|(tensor, _)| !changed[*tensor]) {
        let wanted = kind(info.name);
        if let Ok(at) = kinds.binary_search_by(|(kind, _)| kind.cmp(&wanted)) {
            lacking[at].0 += 1;
            if lacking[at].0 == 1 {
                lacking[at].1 = tensor;
            }
        }
    }
    let (mut count, mut example) = (0, None);
    for (&(_, number), &(lacks, first)) in kinds.iter().zip(&lacking).filter(|(_, (lacks, _))| *lacks > 0) {
        let module = numbered(&placed[number].0.module, tensors[first].name);
        if adapter.targets.name(&module, budget)? {
            count += lacks;
            example.get_or_insert(module);
        }
    }
    let Some(example) = example else { return Ok(None) };
    let message = format!(
        "its configuration names {count} modules that its file has nothing for, such as {example}, and has others of \
         their kind: it may be one part of an adapter (a stage of a pipeline, or a save that was interrupted)"
    );
    Ok(Some(Finding::warning("missing-layers", Some(&adapter.name), message)))
}

/// What tensors at the same place in different layers have in common: a hash (FNV-1a) of their name without its numbers.
fn kind(name: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in name.split('.') {
        let part = if is_number(part) { "*" } else { part };
        for byte in part.bytes().chain([b'.']) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    hash
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// The path of a module with the numbers of `tensor`, matched from the last number on, because one of the two may be below more modules.
fn numbered(module: &str, tensor: &str) -> String {
    let mut numbers = tensor.rsplit('.').filter(|part| is_number(part));
    let mut parts: Vec<&str> =
        module.rsplit('.').map(|part| if is_number(part) { numbers.next().unwrap_or(part) } else { part }).collect();
    parts.reverse();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_differ_in_their_numbers_alone() {
        assert_eq!(kind("model.layers.1.mlp.weight"), kind("model.layers.23.mlp.weight"));
        assert_eq!(kind("a.1.b.2.weight"), kind("a.7.b.0.weight"));
        for other in [
            "model.layers.x.mlp.weight",
            "model.layers.1.mlp.bias",
            "model.layers1.mlp.weight",
            "model.layers.1mlp.weight",
        ] {
            assert_ne!(kind("model.layers.1.mlp.weight"), kind(other), "{other}");
        }
        assert_eq!(numbered("layers.1.q", "model.layers.23.q.weight"), "layers.23.q");
        assert_eq!(numbered("layers.1.experts.2.q", "model.9.layers.23.experts.4.q.weight"), "layers.23.experts.4.q");
        assert_eq!(numbered("q", "model.layers.23.q.weight"), "q");
    }
}
