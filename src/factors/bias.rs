//! The biases of `lora_B` (`lora_bias`), which add up as the deltas do: Σ weight · scale · bias. PEFT's `add_weighted_adapter` leaves zeros.

use super::combine::read_operands;
use super::matrix::zeros;
use super::plan::Given;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::op::Op;

/// The sum of the biases that some adapters have for a module of so many outputs.
///
/// # Errors
/// `non-finite` for a value that is NaN or infinite; those of reading.
pub(super) async fn biases(
    outputs: u64,
    parts: &[(usize, Op)],
    adapters: &[Given],
    inputs: &impl Inputs,
) -> Result<Vec<f64>> {
    let mut sum = zeros(usize::try_from(outputs).ok())?;
    for (number, op) in parts {
        let adapter = adapters.get(*number).ok_or_else(|| Error::internal("an adapter is not there"))?;
        let bytes = read_operands(op, inputs).await?;
        let factor = adapter.weight * op.numbers.first().copied().unwrap_or(0.0);
        for (operand, bytes) in op.operands.iter().zip(&bytes) {
            let values = operand.values(bytes, &adapter.name)?;
            if values.len() != sum.len() {
                let reason = format!("it has {} values, and the layer {outputs} outputs", values.len());
                return Err(Error::shape_mismatch(&adapter.name, operand.key.clone(), reason));
            }
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    Ok(sum)
}
