//! Which tensors are rounded stochastically, and by which random numbers.

use sha2::{Digest, Sha256};

use super::adapter::Adapter;
use super::draws::tuned;
use super::program::{Program, replacement};
use super::tensors::Tensors;
use crate::findings::{Finding, Level};
use crate::tensor::{Float, Rounding};

/// Have every tensor that updates change, and whose type does not hold what is computed, rounded stochastically. The finding says when there is
/// none. A tensor that is only converted has no delta to be kept: that is rounded to nearest.
// A function of its own, so that it is in the second half of the module.
#[inline(never)]
pub(super) fn stochastic(tensors: &mut Tensors, adapters: &[Adapter], seed: u64) -> Option<Finding> {
    let mut some = false;
    for program in tensors.programs_mut().iter_mut().filter(|program| drops_bits(program)) {
        program.rounding = Rounding::Stochastic(key(seed, adapters, &program.tensor));
        some = true;
    }
    let message = "rounding is stochastic, and nothing is rounded: the output's types hold what is computed";
    let (code, message) = ("nothing-rounded".into(), message.into());
    (!some).then_some(Finding { level: Level::Info, code, message, adapter: None, tensor: None })
}

/// Whether the type of the output does not hold what is computed: f64 where the source is, else f32.
fn drops_bits(Program { source, updates, to, .. }: &Program) -> bool {
    let computed = match source.float() {
        Some(Float::F64) => Float::F64,
        _ => Float::F32,
    };
    !updates.is_empty() && replacement(updates).is_none() && to.bytes() < computed.bytes()
}

/// The first 64 bits, the lowest first, of the sha256 of lines without a last line feed: what it is for, the seed, the sha256 of each file of each
/// adapter as the recipe has them, the name, size and sha256, where it is known, of each file of a whole model, the tensor's name.
///
/// What is rounded is the sum, so all adapters have a part in it: merges of other adapters, of which someone may take the mean, have other numbers,
/// and the same adapters at other weights have the same.
fn key(seed: u64, adapters: &[Adapter], tensor: &str) -> u64 {
    let mut hash = Sha256::new_with_prefix("lorafold rounding\n");
    hash.update(seed.to_string());
    for file in adapters.iter().flat_map(|adapter| &adapter.digests) {
        hash.update("\n");
        hash.update(&file.sha256);
    }
    for file in adapters.iter().enumerate().flat_map(|(place, adapter)| tuned(adapter, place)) {
        hash.update("\n");
        hash.update(file);
    }
    hash.update("\n");
    hash.update(tensor);
    hash.finalize().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}
