//! HiRA (ICLR 2025): W' = W + W ∘ (B@A), without a scale; PEFT's `HiraLayer._merge`.

use super::dense::Dense;
use super::matmul::Matmul;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{LayerShape, Method, Op, Place};
use crate::encoding::Operand;
use crate::error::Result;
use crate::wire::{wire, wire_enum};

/// A pair of factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Hira {
    /// `hira_A` (rank, inputs, kernel…), or `hira_embedding_A` (rank, tokens).
    pub a: Operand,
    /// `hira_B` (outputs, rank), or `hira_embedding_B`.
    pub b: Operand,
    /// Rank.
    pub rank: u64,
    /// The layer.
    pub layer: HiraLayer,
    /// Width of the layer's input.
    pub inputs: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Hira { a, b, rank, layer, inputs, outputs, transposed });

/// What the layer is.
#[derive(Debug, Clone, PartialEq)]
pub enum HiraLayer {
    /// Linear.
    Linear,
    /// An embedding.
    Embedding,
    /// A convolution, and the sides of its kernel.
    Convolution(Vec<u64>),
}

wire_enum!(HiraLayer { Linear, Embedding, Convolution(kernel) });

impl Method for Hira {
    const NAME: &'static str = "hira";

    type Prepared = Dense;

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.a, &self.b]
    }

    fn layer(&self) -> LayerShape {
        match &self.layer {
            HiraLayer::Linear => LayerShape::linear(self.outputs, self.inputs),
            HiraLayer::Embedding => LayerShape::embedding(self.inputs, self.outputs),
            HiraLayer::Convolution(kernel) => LayerShape::convolution(self.outputs, self.inputs, kernel),
        }
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn packed_rank(&self) -> u64 {
        2 * self.rank // in f64
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Dense> {
        let (a, b) = (self.a.values(&operands[0], adapter)?, self.b.values(&operands[1], adapter)?);
        Ok(Dense::relative(Matmul::new(b, a, self.rank as usize, 1.0), place, self.transposed))
    }
}

/// PEFT's `HiraConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "HIRA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["hira_A", "hira_B", "hira_embedding_A", "hira_embedding_B"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[("r", Field::Training), ("rank_pattern", Field::Read), ("hira_dropout", Field::Training)]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        // Which rank `rank_pattern` means, PEFT itself reads in two ways; the factors tell.
        config.pattern("rank_pattern", module.module)?;
        let is_embedding = module.find("hira_embedding_A").is_some();
        let (name_a, name_b) =
            if is_embedding { ("hira_embedding_A", "hira_embedding_B") } else { ("hira_A", "hira_B") };
        let (a, b) = (module.tensor(name_a)?, module.tensor(name_b)?);
        let ([rank, inputs, kernel @ ..], Some(outputs)) = (a.shape.as_slice(), b.shape.first()) else {
            return Err(module.misshapen(a, "the rank, the inputs, and a convolution's kernel"));
        };
        let kernel: Vec<u64> = if is_embedding { Vec::new() } else { kernel.into() };
        if a.shape.contains(&0) || b.shape.contains(&0) {
            return Err(module.misshapen(a, "sides that are not 0"));
        }
        module.expect_shape(name_a, &[&[*rank, *inputs], kernel.as_slice()].concat())?;
        module.expect_shape(name_b, &[&[*outputs, *rank], vec![1; kernel.len()].as_slice()].concat())?;
        module.elements(name_a, &a.shape)?;
        let layer = match kernel.is_empty() {
            true if is_embedding => HiraLayer::Embedding,
            true => HiraLayer::Linear,
            false => HiraLayer::Convolution(kernel),
        };
        let (rank, inputs, outputs) = (*rank, *inputs, *outputs);
        let (a, b) = (module.floats(a)?, module.floats(b)?);
        Ok(ParameterUpdate::weight(Op::Hira(Hira { a, b, rank, layer, inputs, outputs, transposed: false })))
    }
}
