//! C3A (arXiv 2407.19342): W' = W + Δ of circulant blocks: Δ[i·b + p, j·b + q] = kernel[i, j, (q − p) mod b] / inputs; PEFT's
//! `C3ALayer.get_delta_weight`, which computes it by transforms in f32.

use super::dense::{Delta, Dense};
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{LayerShape, Method, Op, Place};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::Fit;
use crate::wire::wire;

/// The kernels.
#[derive(Debug, Clone, PartialEq)]
pub struct C3a {
    /// `c3a_kernel`.
    pub kernel: Operand,
    /// Its shape: blocks of outputs, blocks of inputs, size of a block.
    pub shape: [u64; 3],
}

wire!(C3a { kernel, shape });

impl Method for C3a {
    const NAME: &'static str = "c3a";

    type Prepared = Dense;

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.kernel]
    }

    fn layer(&self) -> LayerShape {
        let [outputs, inputs, size] = self.shape;
        LayerShape::linear(outputs.saturating_mul(size), inputs.saturating_mul(size))
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        self.layer().fit(shape).straight()
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Dense> {
        let mut kernels = self.kernel.values(&operands[0], adapter)?;
        let [_, inputs, size] = self.shape.map(|side| side as usize);
        kernels.iter_mut().for_each(|value| *value /= (inputs * size) as f64);
        Ok(Dense::new(Circulant { kernels, inputs, size }, place, false))
    }
}

/// The kernels in memory, over the layer's inputs.
pub(crate) struct Circulant {
    kernels: Vec<f64>,
    /// Blocks of inputs.
    inputs: usize,
    /// Size of a block.
    size: usize,
}

impl Delta for Circulant {
    fn bytes(&self) -> u64 {
        size_of_val(self.kernels.as_slice()) as u64
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        let (block, row) = (output / self.size, output % self.size);
        for (input, out) in (first..).zip(out) {
            let kernel = (block * self.inputs + input / self.size) * self.size;
            let turned = input % self.size + self.size - row;
            *out = self.kernels[kernel + if turned < self.size { turned } else { turned - self.size }];
        }
    }
}

/// PEFT's `C3AConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "C3A"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["c3a_kernel"]
    }

    /// The size of the blocks, the kernels' shapes tell.
    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[("block_size", Field::Training), ("block_size_pattern", Field::Training)]
    }

    fn read(&self, module: &ModuleTensors, _config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (kernel, shape) = module.operand::<3>("c3a_kernel")?;
        Ok(ParameterUpdate::weight(Op::C3a(C3a { kernel, shape })))
    }
}
