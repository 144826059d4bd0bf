//! The bias of `lora_B` (`lora_bias`): b' = b + scale · lora_B.bias; PEFT's `Linear.merge`, and its forward, where the bias is scaled as the
//! product is.

use super::dense::{Delta, Dense};
use super::{LayerShape, Method, Place};
use crate::encoding::Operand;
use crate::error::Result;
use crate::wire::wire;

/// What is added to a bias.
#[derive(Debug, Clone, PartialEq)]
pub struct AddBias {
    /// `lora_B.bias`, shape (outputs,).
    pub bias: Operand,
    /// Width of the layer's output.
    pub outputs: u64,
    /// α/r, or α/√r with rsLoRA.
    pub scale: f64,
}

wire!(AddBias { bias, outputs, scale });

impl Method for AddBias {
    const NAME: &'static str = "lora-bias";

    type Prepared = Dense;

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.bias]
    }

    fn layer(&self) -> LayerShape {
        LayerShape::vector(self.outputs)
    }

    fn transpose(&mut self, _: bool) {}

    fn transposed(&self) -> bool {
        false
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Dense> {
        let mut values = self.bias.values(&operands[0], adapter)?;
        values.iter_mut().for_each(|value| *value *= self.scale);
        Ok(Dense::new(Scaled(values), place, false))
    }
}

/// The bias in memory.
pub(crate) struct Scaled(Vec<f64>);

impl Delta for Scaled {
    fn bytes(&self) -> u64 {
        size_of_val(self.0.as_slice()) as u64
    }

    fn output(&self, output: usize, _: usize, out: &mut [f64]) {
        out.fill(self.0[output]);
    }
}
