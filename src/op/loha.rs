//! LoHa (FedPara, arXiv 2108.06098): W' = W + scale · (w1_a@w1_b) ∘ (w2_a@w2_b); PEFT's `LoHaLayer.get_delta_weight`.

use serde::{Deserialize, Serialize};

use super::dense::{Delta, Dense};
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling, rank_and_alpha};
use super::{LayerShape, Method, Op, Place, Scale};
use crate::encoding::Operand;
use crate::error::Result;

/// Two pairs of factors and their scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loha {
    /// `hada_w1_a` (outputs, rank), `hada_w1_b` (rank, inputs), `hada_w2_a`, `hada_w2_b`.
    pub factors: [Operand; 4],
    /// Rank of both pairs.
    pub rank: u64,
    /// Width of the layer's input.
    pub inputs: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// Alpha after patterns and override.
    pub alpha: f64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

impl Loha {
    /// α/r.
    fn scaling(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

impl Method for Loha {
    const NAME: &'static str = "loha";

    type Prepared = Dense<Hadamard>;

    fn operands(&self) -> Vec<&Operand> {
        self.factors.iter().collect()
    }

    fn layer(&self) -> LayerShape {
        LayerShape::linear(self.outputs, self.inputs)
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn scale(&self) -> Option<Scale> {
        Some(Scale { rank: self.rank, alpha: self.alpha, scale: self.scaling() })
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Dense<Hadamard>> {
        let mut values = Vec::with_capacity(4);
        for (factor, bytes) in self.factors.iter().zip(operands) {
            values.push(factor.values(bytes, adapter)?);
        }
        let delta = Hadamard { values, rank: self.rank as usize, inputs: self.inputs as usize, scale: self.scaling() };
        Ok(Dense::new(delta, place, self.transposed))
    }
}

/// The factors in memory.
pub(crate) struct Hadamard {
    /// Those of [`Loha::factors`].
    values: Vec<Vec<f64>>,
    rank: usize,
    inputs: usize,
    scale: f64,
}

impl Delta for Hadamard {
    fn bytes(&self) -> u64 {
        self.values.iter().map(|values| size_of_val(values.as_slice()) as u64).sum()
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        let [w1_a, w1_b, w2_a, w2_b] = self.values.as_slice() else { return };
        let row = output * self.rank..(output + 1) * self.rank;
        for (input, value) in (first..).zip(out) {
            let product = |a: &[f64], b: &[f64]| -> f64 {
                let column = b.iter().skip(input).step_by(self.inputs);
                a[row.clone()].iter().zip(column).map(|(a, b)| a * b).sum()
            };
            *value = product(w1_a, w1_b) * product(w2_a, w2_b) * self.scale;
        }
    }
}

/// PEFT's `LoHaConfig`.
pub(super) struct Peft;

const TENSORS: [&str; 4] = ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"];

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "LOHA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("alpha", Field::Read),
            ("rank_pattern", Field::Read),
            ("alpha_pattern", Field::Read),
            ("rank_dropout", Field::Training),
            ("module_dropout", Field::Training),
            ("use_effective_conv2d", Field::Training),
        ]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (rank, alpha) = rank_and_alpha(config, module.module, "alpha", (8, 8.0))?;
        let (first, [outputs, _]) = module.operand::<2>("hada_w1_a")?;
        let (second, [_, inputs]) = module.operand::<2>("hada_w1_b")?;
        let expected = [[outputs, rank], [rank, inputs], [outputs, rank], [rank, inputs]];
        for (name, shape) in TENSORS.iter().zip(&expected) {
            module.expect_shape(name, shape)?;
        }
        let third = module.operand::<2>("hada_w2_a")?.0;
        let fourth = module.operand::<2>("hada_w2_b")?.0;
        let factors = [first, second, third, fourth];
        Ok(ParameterUpdate::weight(Op::Loha(Loha { factors, rank, inputs, outputs, alpha, transposed: false })))
    }
}
