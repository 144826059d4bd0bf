//! The bias of `lora_B` (`lora_bias`): b' = b + scale · lora_B.bias; PEFT's `Linear.merge`. Its forward pass scales the bias like the product.

use super::dense::{Delta, added};
use super::{Given, LayerShape, Method, Op, Prepared, beft};
use crate::encoding::Operand;
use crate::error::Result;

/// `lora_B.bias`, shape (outputs,), and its factor.
pub(super) static ADD_BIAS: Method =
    Method { vanishes: true, spellings: &[beft::PEFT], ..Method::new("lora-bias", prepare) };

/// What is added to a bias.
pub(crate) fn add_bias(bias: Operand, outputs: u64, scale: f64) -> Op {
    Op { operands: vec![bias], layer: LayerShape::vector(outputs), numbers: vec![scale], ..Op::new(&ADD_BIAS) }
}

fn prepare(given: &Given) -> Result<Prepared> {
    let mut values = given.values(0)?;
    values.iter_mut().for_each(|value| *value *= given.number(0));
    added(Scaled(values), given)
}

/// The bias in memory.
struct Scaled(Vec<f64>);

impl Delta for Scaled {
    fn bytes(&self) -> u64 {
        size_of_val(self.0.as_slice()) as u64
    }

    fn output(&self, output: usize, _: usize, out: &mut [f64]) {
        out.fill(self.0[output]);
    }
}
