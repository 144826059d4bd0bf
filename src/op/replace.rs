//! A parameter that the adapter brings as a whole, in place of the base's: W' = M. PEFT's `modules_to_save`, its biases, and the
//! embeddings that it saves after a vocabulary was resized.
//!
//! It may be as large as any weight of the base, so it is read block by block beside it, or in its place.

use std::ops::Range;

use super::{Apply, LayerShape, Method, Place, Tile};
use crate::encoding::{Operand, Plain};
use crate::error::Result;
use crate::inputs::Span;
use crate::kernel::{Real, decode};
use crate::model::orientation::Fit;
use crate::tensor::Float;
use crate::wire::wire;

/// A parameter of the adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Replace {
    /// Its key in the file, for errors.
    pub key: String,
    /// Its shape as stored, which is that of the base's.
    pub shape: Vec<u64>,
    /// Its type and place.
    pub stored: Plain,
}

wire!(Replace { key, shape, stored });

impl Method for Replace {
    const NAME: &'static str = "replace";

    type Prepared = Replacement;

    fn operands(&self) -> Vec<&Operand> {
        Vec::new()
    }

    fn input(&self) -> Option<usize> {
        Some(self.stored.input)
    }

    fn reads(&self, elements: Range<u64>) -> Vec<Span> {
        crate::encoding::Stored::Plain(self.stored).reads(elements)
    }

    fn replacement(&self) -> Option<&Replace> {
        Some(self)
    }

    fn layer(&self) -> LayerShape {
        match *self.shape {
            [outputs] => LayerShape::vector(outputs),
            [outputs, inputs, ref kernel @ ..] => LayerShape::convolution(outputs, inputs, kernel),
            [] => LayerShape::default(),
        }
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        if shape == self.shape { Fit::Certain { transposed: false } } else { Fit::Neither }
    }

    fn transpose(&mut self, _: bool) {}

    fn transposed(&self) -> bool {
        false
    }

    fn prepare(&self, _: &Place, _: &[Vec<u8>], _: &str) -> Result<Replacement> {
        Ok(Replacement(self.stored.float))
    }
}

/// The type of the values that are read beside the base's.
pub(crate) struct Replacement(Float);

impl Apply for Replacement {
    fn bytes(&self) -> u64 {
        0
    }

    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        if let [bytes] = tile.beside {
            decode(self.0, bytes, out);
        }
    }
}
