//! What is given as an adapter: one, or a whole model.

use super::open::Base;
use super::tuned::is_named_as;
use crate::container::Format;
use crate::container::checkpoint::{adapter_shards, find_index};
use crate::inputs::{Inputs, Listing};

/// Whether a folder that is given as an adapter holds a whole model: by its files, or, of weights alone, by what they are called in `base`.
pub(super) async fn is_model(inputs: &impl Inputs, folder: &Listing, base: &Base) -> bool {
    let names: Vec<&str> = folder.files.iter().map(|file| file.name.as_str()).collect();
    let has = |name: &str| names.contains(&name);
    let has_shards = |format| adapter_shards(&names, format).is_ok_and(|shards| !shards.is_empty());
    if ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"].into_iter().any(has)
        || has_shards(Format::Safetensors)
        || has_shards(Format::Torch)
    {
        // A file that had no name was given this one.
        return names.len() == 1 && !has("adapter_config.json") && is_named_as(inputs, folder, base).await;
    }
    has("config.json") || matches!(find_index(&names), Ok(Some(_))) || is_named_as(inputs, folder, base).await
}
