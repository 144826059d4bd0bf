//! LoHa (FedPara, arXiv 2108.06098): W' = W + scale · (w1_a@w1_b) ∘ (w2_a@w2_b); PEFT's `LoHaLayer.get_delta_weight`. A convolution is
//! the matrix outputs × (inputs · kernel), or each pair of factors has a core of its own (`use_effective_conv2d`, PEFT's `HadaWeightCP`).

use super::dense::{Delta, Dense};
use super::matmul::Matmul;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling, rank_and_alpha};
use super::{LayerShape, Method, Op, Place, Scale};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::Fit;
use crate::wire::wire;

/// Two pairs of factors and their scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Loha {
    /// `hada_w1_a` (outputs, rank), `hada_w1_b` (rank, inputs), `hada_w2_a`, `hada_w2_b`; with cores the first is (rank, outputs).
    pub factors: [Operand; 4],
    /// `hada_t1` and `hada_t2` (rank, rank, kernel), of a convolution that has them.
    pub cores: Option<[Operand; 2]>,
    /// Rank of both pairs.
    pub rank: u64,
    /// Width of the layer's input, times the size of a convolution's kernel.
    pub inputs: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// Alpha after patterns and override.
    pub alpha: f64,
}

wire!(Loha { factors, cores, rank, inputs, outputs, alpha });

impl Loha {
    /// α/r.
    fn scaling(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

impl Method for Loha {
    const NAME: &'static str = "loha";

    type Prepared = Dense;

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        self.factors.iter().chain(self.cores.iter().flatten()).collect()
    }

    fn layer(&self) -> LayerShape {
        LayerShape::flattened(self.outputs, self.inputs)
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        self.layer().fit(shape).straight()
    }

    fn scale(&self) -> Option<Scale> {
        Some(Scale { rank: self.rank, alpha: self.alpha, scale: self.scaling() })
    }

    fn packed_rank(&self) -> u64 {
        4 * self.rank // two products, in f64
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Dense> {
        let values = self.operands().into_iter().zip(operands).map(|(operand, bytes)| operand.values(bytes, adapter));
        let mut values = values.collect::<Result<Vec<_>>>()?.into_iter();
        let mut next = || values.next().unwrap_or_default();
        let (rank, scale) = (self.rank as usize, self.scaling());
        let [a1, b1, a2, b2] = [next(), next(), next(), next()];
        let [first, second] = match self.cores {
            None => [Matmul::new(a1, b1, rank, scale), Matmul::new(a2, b2, rank, 1.0)],
            Some(_) => {
                [(a1, b1, scale), (a2, b2, 1.0)].map(|(a, b, scale)| Matmul::of_core(&next(), &a, &b, rank, scale))
            }
        };
        Ok(Dense::new(Hadamard { first, second }, place, false))
    }
}

/// Both products in memory.
pub(crate) struct Hadamard {
    first: Matmul,
    second: Matmul,
}

impl Delta for Hadamard {
    fn bytes(&self) -> u64 {
        self.first.bytes() + self.second.bytes()
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        let mut factors = vec![0.0; out.len()];
        self.first.output(output, first, out);
        self.second.output(output, first, &mut factors);
        out.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
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
        let (first, left) = module.operand::<2>("hada_w1_a")?;
        let (second, [_, width]) = module.operand::<2>("hada_w1_b")?;
        let has_cores = module.find("hada_t1").is_some() || module.find("hada_t2").is_some();
        // With cores the left factors stand the other way round.
        let outputs = if has_cores { left[1] } else { left[0] };
        let left = if has_cores { [rank, outputs] } else { [outputs, rank] };
        let expected = [left, [rank, width], left, [rank, width]];
        for (name, shape) in TENSORS.iter().zip(&expected) {
            module.expect_shape(name, shape)?;
        }
        let third = module.operand::<2>("hada_w2_a")?.0;
        let fourth = module.operand::<2>("hada_w2_b")?.0;
        let factors = [first, second, third, fourth];
        let (cores, inputs) = if has_cores {
            let (core, [_, _, height, length]) = module.operand::<4>("hada_t1")?;
            module.expect_shape("hada_t1", &[rank, rank, height, length])?;
            module.expect_shape("hada_t2", &[rank, rank, height, length])?;
            let inputs = module.elements("hada_t1", &[width, height, length])?;
            (Some([core, module.operand::<4>("hada_t2")?.0]), inputs)
        } else {
            (None, width)
        };
        Ok(ParameterUpdate::weight(Op::Loha(Loha { factors, cores, rank, inputs, outputs, alpha })))
    }
}
