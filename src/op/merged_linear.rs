//! LoRA on some parts of a layer that computes several outputs side by side, such as query, key and value: the `forward` of `MergedLinear` in
//! `loralib`, which PEFT had until 0.3 (`enable_lora`). B is a convolution in groups with a kernel of size 1: each group has its own ranks, and makes
//! its own rows. The rows of all groups, in order, are those of the enabled parts.

use super::factored::product;
use super::unpacked::product_factors;
use super::{Given, LayerShape, Method, Op, Prepared};
use crate::error::{Error, Result};

/// `lora_A`, shape (r · enabled parts, inputs), and `lora_B`, shape (rows of the enabled parts, `g` ranks of a group, 1). The list has a 1 for
/// each part of the output with a delta (`enable_lora`), and a 0 for the others. A part is `w` wide.
pub(super) static MERGED_LINEAR: Method =
    Method { vanishes: true, packed: 1, unpack: Some(product_factors), ..Method::new("merged-linear", prepare) };

/// The pair `lora` as stored. `rank_of_group` is the number of columns of `lora_B`.
///
/// # Errors
/// `shape-mismatch` if the parts do not fit the factors.
pub(crate) fn merged_linear(lora: Op, rank_of_group: u64, enabled: &[bool]) -> Result<Op> {
    let rank = lora.size('r');
    let (inputs, rows) = (lora.layer.inputs.unwrap_or(0), lora.layer.outputs.unwrap_or(0));
    let list: Vec<u64> = enabled.iter().map(|&enabled| enabled.into()).collect();
    let parts = list.iter().sum();
    let part = rows.checked_div(parts).unwrap_or(0);
    let fits = parts > 0 && rows.is_multiple_of(parts) && rank_of_group > 0 && rank.is_multiple_of(rank_of_group);
    let outputs = part.checked_mul(list.len() as u64);
    match outputs {
        Some(outputs) if fits && rows.is_multiple_of(rank / rank_of_group) => {
            let layer = LayerShape::linear(outputs, inputs);
            Ok(Op { method: &MERGED_LINEAR, layer, list, ..lora }.with('g', rank_of_group).with('w', part))
        }
        _ => {
            let key = lora.operands.get(1).map_or("", |operand| &operand.key);
            let reason = format!(
                "its {rows} rows of rank {rank_of_group} are not those of {parts} parts of rank {rank} together"
            );
            Err(Error::shape_mismatch("", key, reason).field("enable_lora"))
        }
    }
}

fn prepare(given: &Given) -> Result<Prepared> {
    let (ranks, part, scale, enabled) = (given.size('g'), given.size('w'), given.op.scaling(), &given.op.list);
    let groups = given.size('r') / ranks;
    let rows = part * enabled.iter().sum::<u64>() as usize / groups;
    let values = given.numbers()?;
    product(given, &mut |k, a, b| {
        let [all_a, all_b] = values.as_slice() else { return };
        all_a.fill(1, k * a.len(), 1.0, a);
        // The rows of the group, in one enabled part after another.
        let (first, last) = (k / ranks * rows, (k / ranks + 1) * rows);
        let mut start = 0;
        for (b, _) in b.chunks_exact_mut(part).zip(enabled).filter(|(_, enabled)| **enabled == 1) {
            let (from, to) = (first.max(start), last.min(start + part));
            if from < to {
                all_b.fill(ranks, from * ranks + k % ranks, scale, &mut b[from - start..to - start]);
            }
            start += part;
        }
    })
}
