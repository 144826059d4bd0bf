//! Which values random masks keep: the keys of their random numbers, for merges by a method and for adapters that are made of adapters alike.

use sha2::{Digest, Sha256};

use super::adapter::Adapter;

/// What tells an adapter's masks from those of others: the sha256 of its weight files, joined by commas. Of a whole model the names and sizes of its
/// files stand there, and its place among the adapters; and where one of several adapters of a file was chosen, its name.
pub(crate) fn identity(adapter: &Adapter, place: usize) -> String {
    let weights = adapter.digests.iter().filter(|file| file.name != "adapter_config.json");
    let mut identity = weights.map(|file| file.sha256.as_str()).collect::<Vec<_>>().join(",");
    for file in tuned(adapter, place) {
        identity += &file;
        identity += ",";
    }
    if let Some(name) = &adapter.wanted {
        identity += "#";
        identity += name;
    }
    identity
}

/// Name and size of each file of an adapter that is a whole model, and the adapter's place. Not every hash is known, and whether one is must not show.
pub(super) fn tuned(adapter: &Adapter, place: usize) -> impl Iterator<Item = String> {
    let files = adapter.tuned.iter().flat_map(|tuned| &tuned.identity.files);
    files.map(move |file| format!("{} {} {place}", file.name, file.size))
}

/// The key of an adapter's mask for a tensor: the first 64 bits, highest first, of the sha256 of three lines without a last line feed.
pub(crate) fn mask_key(seed: u64, identity: &str, tensor: &str) -> u64 {
    let digest = Sha256::digest(format!("{seed}\n{identity}\n{tensor}"));
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}
