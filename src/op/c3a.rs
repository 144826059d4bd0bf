//! C3A (arXiv 2407.19342): W' = W + Δ, where Δ has circulant blocks: Δ[i·b + p, j·b + q] = kernel[i, j, (q − p) mod b] / inputs; PEFT's
//! `C3ALayer.get_delta_weight`, which computes it by Fourier transforms in f32.

use super::dense::{Delta, added};
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Given, LayerShape, Method, Op, Prepared, straight};
use crate::error::Result;

/// `c3a_kernel`, shape (blocks of outputs, `n` blocks of inputs, size `s` of a block).
pub(super) static C3A: Method =
    Method { vanishes: true, fit: straight, spellings: &[PEFT], ..Method::new("c3a", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let mut kernels = given.values(0)?;
    let (inputs, size) = (given.size('n'), given.size('s'));
    kernels.iter_mut().for_each(|value| *value /= (inputs * size) as f64);
    added(Circulant { kernels, inputs, size }, given)
}

/// The kernels in memory, divided by the number of the layer's inputs.
struct Circulant {
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

/// PEFT's `C3AConfig`. The shapes of the kernels tell the size of the blocks.
const PEFT: Spelling =
    Spelling { training: "block_size block_size_pattern", ..Spelling::new("C3A", "c3a_kernel", read) };

fn read(module: &ModuleTensors, _: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let op = module.op(&C3A, "c3a_kernel:mns", &[])?;
    let layer =
        LayerShape::linear(op.size('m').saturating_mul(op.size('s')), op.size('n').saturating_mul(op.size('s')));
    ParameterUpdate::weight(Op { layer, ..op })
}
