//! BD-LoRA: LoRA with a factor that has blocks on the diagonal and zeros elsewhere. The file has only the blocks. PEFT's
//! `BdLoraLinearVariant._get_bdlora_delta_weight`.

use super::factored::product;
use super::unpacked::product_factors;
use super::{Given, LayerShape, Method, Op, Prepared};
use crate::error::{Error, Result};

/// `lora_A`, shape (rank, inputs) or (rank, inputs / blocks), and `lora_B`, shape (outputs, rank) or (outputs, rank / blocks). There are `n`
/// blocks, in `lora_B` if `b` is 1.
pub(super) static BD_LORA: Method =
    Method { vanishes: true, packed: 1, unpack: Some(product_factors), ..Method::new("bd-lora", prepare) };

/// A factor of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// `lora_A`.
    A,
    /// `lora_B`.
    B,
}

/// The pair `lora` as stored, with the factor `side` in this many blocks. `rank_of_b` is the number of columns of `lora_B` as stored.
///
/// # Errors
/// `shape-mismatch` if the blocks do not fit the factors.
pub(crate) fn bd_lora(lora: Op, rank_of_b: u64, side: Side, blocks: u64) -> Result<Op> {
    let rank = lora.size('r');
    let (inputs, outputs) = (lora.layer.inputs.unwrap_or(0), lora.layer.outputs.unwrap_or(0));
    let fits = match side {
        Side::A => rank_of_b == rank,
        Side::B => rank_of_b.checked_mul(blocks) == Some(rank) && outputs.is_multiple_of(blocks),
    };
    let inputs = if side == Side::A { inputs.checked_mul(blocks) } else { Some(inputs) };
    match inputs {
        Some(inputs) if fits && blocks > 0 && rank.is_multiple_of(blocks) && lora.layer.kernel.is_empty() => {
            let layer = LayerShape::linear(outputs, inputs);
            Ok(Op { method: &BD_LORA, layer, ..lora }.with('n', blocks).with('b', (side == Side::B).into()))
        }
        _ => {
            let name = if side == Side::A { "lora_A" } else { "lora_B" };
            let key = lora.operands.get(side as usize).map_or("", |operand| &operand.key);
            let reason = format!("{name} is not stored in the {blocks} blocks that use_bdlora says");
            Err(Error::shape_mismatch("", key, reason).field("use_bdlora"))
        }
    }
}

fn prepare(given: &Given) -> Result<Prepared> {
    let (rank, blocks, scale) = (given.size('r'), given.size('n'), given.op.scaling());
    let values = given.numbers()?;
    product(given, &mut |k, a, b| {
        let [all_a, all_b] = values.as_slice() else { return };
        // Which block the rank position is in, and which of its ranks it is.
        let (block, within) = (k / (rank / blocks), k % (rank / blocks));
        let (a, b, first, step, column) = if given.size('b') == 0 {
            let width = a.len() / blocks;
            (&mut a[block * width..][..width], b, 0, rank, k)
        } else {
            let height = b.len() / blocks;
            (a, &mut b[block * height..][..height], block * height, rank / blocks, within)
        };
        all_a.fill(1, k * a.len(), 1.0, a);
        all_b.fill(step, first * step + column, scale, b);
    })
}
