//! Bases that were saved while PEFT had them wrapped: their layers are called `….base_layer.weight`, and the whole model may be below
//! `base_model.model.`. They are read, and written, under the names of the model itself.

use super::open::Base;
use crate::error::{Error, Result};
use crate::findings::Finding;
use crate::json::sorted;

/// PEFT's name for what it has wrapped.
const WRAPPED: &str = "base_layer";

/// Give the tensors of a wrapped base their own names again, and note that in a finding.
///
/// # Errors
/// `unsupported` if weights of an adapter are among them, `bad-header` if two tensors would get the same name.
pub(super) fn unwrap(base: &mut Base) -> Result<Option<Finding>> {
    let (mut layers, mut all_below) = (Vec::new(), true);
    base.each_name(&mut |name| {
        layers.extend(wrapped_layer(name));
        all_below &= name.starts_with("base_model.model.");
    });
    if layers.is_empty() && !all_below {
        return Ok(None);
    }
    let (layers, mut inside) = (sorted(layers), None);
    base.each_name(&mut |name| {
        if inside.is_none() && is_adapters(name, &layers) {
            inside = Some(name);
        }
    });
    if let Some(name) = inside {
        let reason = "the base was saved with an adapter inside, whose weights would be lost";
        return Err(Error::unsupported(name, reason)
            .tensor(name)
            .fix("save the two apart, with PEFT: model.save_pretrained(…), then model.unload().save_pretrained(…)"));
    }
    base.rename(&|name, names| names.push(plain(name)))?;
    let message = "it was saved while PEFT had it wrapped: its tensors get back the names that they had before";
    Ok(Some(Finding::warning("peft-wrapped", None, message.into())))
}

/// The path of the wrapped layer that a tensor belongs to. A model's own module called `base_layer` has layers inside.
fn wrapped_layer(name: &str) -> Option<&str> {
    let ends = [".base_layer.weight", ".base_layer.bias", ".base_layer.in_proj_weight"];
    ends.iter().find_map(|end| name.strip_suffix(end))
}

/// Whether a tensor is in one of the wrapped layers, but is not the wrapped weight itself.
fn is_adapters(name: &str, layers: &[&str]) -> bool {
    name.match_indices('.').any(|(at, _)| {
        let (layer, rest) = (&name[..at], &name[at + 1..]);
        rest.starts_with("modules_to_save.") || layers.binary_search(&layer).is_ok() && !rest.starts_with(WRAPPED)
    })
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
