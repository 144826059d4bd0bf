//! What bounds the rounding errors of a low-rank product: Σ|scale·b·a| over the rank, element by element. No adapter has it; `verify` asks for it.

use super::low_rank::Product;
use super::{Given, Method, Prepared};
use crate::encoding::Operand;
use crate::error::Result;
use crate::kernel::Factors;

/// The operands of LoRA, of which the absolute values are taken: W + Σ|scale·b·a|.
pub(crate) static AMPLITUDE: Method = Method { packed: 1, ..Method::new("amplitude", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let Given { op, place, bytes, adapter } = given;
    let mut factors = Factors::try_new(place.rows.len(), place.cols, given.size('r'))?;
    let mut absolute = Vec::with_capacity(2);
    for (operand, bytes) in op.operands.iter().zip(*bytes).take(2) {
        absolute.push(without_signs(operand, bytes)?);
    }
    let sign = if op.scaling() < 0.0 { -1.0 } else { 1.0 };
    op.pack(&mut factors, 0, place, &absolute, sign, adapter)?;
    Ok(Prepared::Product(Product(factors)))
}

/// The absolute values: the sign is the highest bit of an element's last byte.
fn without_signs(operand: &Operand, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    for element in bytes.chunks_exact_mut(operand.float()?.bytes()) {
        if let Some(last) = element.last_mut() {
            *last &= 0x7f;
        }
    }
    Ok(bytes)
}
